"""Writes what a scan found, in the transaction that completes it.

Rows go by COPY into tables that nobody sees until they are attached as partitions; then the
scan becomes complete and its sources current, all at one commit. Whatever fails or is killed
before leaves nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from sqlalchemy import Connection, func, text, update
from sqlalchemy.orm import Session

from app import partitions
from app.models import Scan, ScanSource
from workers.finish import UnitRecord
from workers.kernels.logit_lens import LogitLens
from workers.kernels.moments import Moments, Summary, summarize
from workers.sinks import binary_rows as b

DENSITY_BINS = 32
_BINS_PER_DECADE = 4
_LEAST_DECADE = -8
_UNIT_COLUMNS = (
    "source_id",
    "index",
    "promoted_ids",
    "promoted_values",
    "suppressed_ids",
    "suppressed_values",
)
_STATS_COLUMNS = (
    "scan_id",
    "source_id",
    "index",
    "n_tokens",
    "n_active",
    "density",
    "max",
    "min",
    "mean",
    "std",
    "skewness",
    "kurtosis",
    "n_zero",
    "histogram_edges",
    "histogram_counts",
    "interval_edges",
    "interval_counts",
    "interval_mass",
    "token_ids",
    "token_sums",
    "token_n_active",
    "token_n",
    "atlas_sum",
)
_EXAMPLES_COLUMNS = (
    "scan_id",
    "source_id",
    "index",
    "kind",
    "windows",
    "positions",
    "values",
    "max_positions",
    "lows",
    "highs",
    "intervals",
    "levels",
)


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What completes a source of a scan, apart from its units' records."""

    source_id: int
    moments: Moments
    n_atlas_positions: int


@dataclass(frozen=True, slots=True)
class ScanWriter:
    """Fills the tables of one scan; `prepare` first, `complete` last, all in one transaction."""

    session: Session
    scan_id: int

    def prepare(self) -> None:
        """Makes the scan's tables."""
        connection = self.session.connection()
        partitions.prepare(connection, partitions.SCAN_TABLES, self.scan_id)
        # Levels are compressed already; trying again would cost more than writing them.
        table = partitions.name("examples", self.scan_id)
        connection.execute(text(f"ALTER TABLE {table} ALTER levels SET STORAGE EXTERNAL"))

    def write(self, result: SourceResult, blocks: Iterable[Sequence[UnitRecord]]) -> None:
        """Writes one source's units."""
        connection = self.session.connection()
        rows = _UnitRows(self.scan_id, result.source_id, result.moments)
        for block in blocks:
            self._copy(connection, "unit_stats", _STATS_COLUMNS, map(rows.stats, block))
            self._copy(connection, "examples", _EXAMPLES_COLUMNS, map(rows.examples, block))

    def complete(self, corpus_id: int, results: Sequence[SourceResult], n_tokens: int) -> None:
        """Attaches the tables and makes the scan's sources the current ones of the corpus."""
        connection = self.session.connection()
        connection.execute(text(f"ANALYZE {partitions.name('unit_stats', self.scan_id)}"))
        partitions.attach(connection, partitions.SCAN_TABLES, self.scan_id)
        make_current(self.session, corpus_id, [result.source_id for result in results], None)
        self.session.add_all(_scan_source(self.scan_id, corpus_id, result) for result in results)
        self.session.execute(
            update(Scan)
            .where(Scan.id == self.scan_id)
            .values(status="complete", n_tokens_done=n_tokens, finished_at=func.now(), error=None)
        )

    def _copy(
        self, connection: Connection, table: str, columns: Sequence[str], rows: Iterable[bytes]
    ) -> None:
        part = partitions.name(table, self.scan_id)
        b.copy_encoded(connection, part, columns, rows, is_frozen=True)


def make_current(
    session: Session, corpus_id: int, source_ids: Sequence[int], scan_id: int | None
) -> None:
    """Makes the sources' results of `scan_id` (None: of no scan yet) the ones that are read."""
    of_sources = (ScanSource.corpus_id == corpus_id) & ScanSource.source_id.in_(source_ids)
    session.execute(update(ScanSource).where(of_sources).values(is_current=False))
    if scan_id is not None:
        chosen = of_sources & (ScanSource.scan_id == scan_id)
        session.execute(update(ScanSource).where(chosen).values(is_current=True))


def write_units(connection: Connection, source_id: int, lens: LogitLens) -> None:
    """Writes the units of a new source."""
    columns = [column.numpy() for column in lens]
    rows = (
        b.row(
            b.int4(source_id),
            b.int4(index),
            b.array("int4", promoted_ids),
            b.array("float4", promoted),
            b.array("int4", suppressed_ids),
            b.array("float4", suppressed),
        )
        for index, (promoted_ids, promoted, suppressed_ids, suppressed) in enumerate(
            zip(*columns, strict=True)
        )
    )
    b.copy_encoded(connection, "units", _UNIT_COLUMNS, rows)


def density_histogram(n_active: Int[np.ndarray, " units"], n_tokens: int) -> list[int]:
    """Units by quarter decades of density from 1e-8 to 1; dead units are in none."""
    density = n_active[n_active > 0] / max(n_tokens, 1)
    bins = np.floor((np.log10(density) - _LEAST_DECADE) * _BINS_PER_DECADE).astype(int)
    counts = np.bincount(bins.clip(0, DENSITY_BINS - 1), minlength=DENSITY_BINS)
    return [int(count) for count in counts]


def _scan_source(scan_id: int, corpus_id: int, result: SourceResult) -> ScanSource:
    n_active = result.moments.n_active.cpu().numpy()
    return ScanSource(
        scan_id=scan_id,
        source_id=result.source_id,
        corpus_id=corpus_id,
        is_current=True,
        n_alive=int((n_active > 0).sum()),
        n_atlas_positions=result.n_atlas_positions,
        density_histogram=density_histogram(n_active, result.moments.n_tokens),
    )


class _UnitRows:
    """Encodes the rows of one source's units."""

    def __init__(self, scan_id: int, source_id: int, moments: Moments) -> None:
        self._n_tokens = moments.n_tokens
        self._key = b.int4(scan_id), b.int4(source_id)
        self._n_active = moments.n_active.tolist()
        self._max, self._min = moments.max.tolist(), moments.min.tolist()
        self._summary = _columns(summarize(moments))

    def stats(self, record: UnitRecord) -> bytes:
        """The row of `unit_stats`."""
        unit, tokens = record.index, record.tokens
        density, mean, std, skewness, kurtosis = (column[unit] for column in self._summary)
        return b.row(
            *self._key,
            b.int4(unit),
            b.int8(self._n_tokens),
            b.int8(self._n_active[unit]),
            b.float8(density),
            b.float4(self._max[unit]),
            b.float4(self._min[unit]),
            b.float8(mean),
            b.float8(std),
            b.float8_or_null(skewness),
            b.float8_or_null(kurtosis),
            b.int4(record.histogram.n_zero),
            b.array("float4", record.histogram.edges),
            b.array("int4", record.histogram.counts),
            b.array("float4", record.intervals.edges),
            b.array("int4", record.intervals.counts),
            b.array("float4", record.intervals.mass),
            b.array("int4", tokens.ids),
            b.array("float4", tokens.sums),
            b.array("int4", tokens.n_active),
            b.array("int4", tokens.n),
            b.float8(record.atlas_sum),
        )

    def examples(self, record: UnitRecord) -> bytes:
        """The rows of `examples`, one a kind."""
        return b"".join(
            b.row(
                *self._key,
                b.int4(record.index),
                b.raw(packed.kind.encode()),
                b.array("int4", packed.windows),
                b.array("int2", packed.positions),
                b.array("float4", packed.values),
                b.array("int2", packed.max_positions),
                b.array("float4", packed.lows),
                b.array("float4", packed.highs),
                b.array("int2", packed.intervals),
                b.raw(packed.levels),
            )
            for packed in record.examples
        )


def _columns(summary: Summary) -> list[list[float]]:
    names = ("density", "mean", "std", "skewness", "kurtosis")
    return [getattr(summary, name).tolist() for name in names]
