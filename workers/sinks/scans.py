"""Writes what a scan found: what the atlas gives when its shard is done, the rest at the end.

Rows go by COPY into tables of the scan's own, which nobody sees until they are attached as
partitions; then the scan becomes complete and its sources current, all at one commit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from sqlalchemy import Connection, func, text, update
from sqlalchemy.orm import Session

from app import partitions
from app.models import Scan, ScanSource
from workers.finish import AtlasRecord
from workers.kernels.logit_lens import LogitLens
from workers.kernels.moments import Moments, summarize
from workers.packing import PackedExamples
from workers.sinks import binary_rows as b

DENSITY_BINS = 32
_ATLAS_TABLES = ("examples", "atlas_pieces")
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
_ATLAS_COLUMNS = (
    "source_id",
    "index",
    "n_zero",
    "histogram_edges",
    "histogram_counts",
    "interval_edges",
    "interval_counts",
    "interval_mass",
    "interval_share_errors",
    "interval_mass_errors",
    "token_ids",
    "token_sums",
    "token_n_active",
    "token_n",
    "atlas_sum",
)
_MOMENT_COLUMNS = (
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
    """What completes a source of a scan, apart from its units' rows."""

    source_id: int
    n_active: Int[np.ndarray, " units"]
    n_tokens: int
    n_atlas_positions: int


@dataclass(frozen=True, slots=True)
class AtlasWriter:
    """Writes what the atlas gives, all in one transaction; `prepare` first."""

    session: Session
    scan_id: int

    def prepare(self) -> None:
        """Makes the tables, in place of those of an attempt before."""
        connection = self.session.connection()
        partitions.drop(connection, _ATLAS_TABLES, self.scan_id)
        partitions.prepare(connection, _ATLAS_TABLES, self.scan_id)
        drop_unit_atlas(connection, self.scan_id)
        columns = ", ".join(f'"{name}"' for name in _ATLAS_COLUMNS)
        connection.execute(
            text(
                f"CREATE TABLE {_unit_atlas(self.scan_id)} AS "
                f"SELECT {columns} FROM unit_stats WITH NO DATA"
            )
        )
        # Levels are compressed already; trying again would cost more than writing them.
        table = partitions.name("examples", self.scan_id)
        connection.execute(text(f"ALTER TABLE {table} ALTER levels SET STORAGE EXTERNAL"))

    def write(self, source_id: int, block: Sequence[AtlasRecord]) -> None:
        """Writes one block of a source's units."""
        connection, table = self.session.connection(), _unit_atlas(self.scan_id)
        rows = (_atlas_row(source_id, record) for record in block)
        b.copy_encoded(connection, table, _ATLAS_COLUMNS, rows, is_frozen=True)
        packed = ((record.index, each) for record in block for each in record.examples)
        _copy_examples(connection, self.scan_id, source_id, packed, is_frozen=True)


@dataclass(frozen=True, slots=True)
class ScanWriter:
    """Writes the rest and completes the scan, all in one transaction; `prepare` first."""

    session: Session
    scan_id: int

    def prepare(self) -> None:
        """Makes the table for moments, gone with the transaction."""
        columns = ", ".join(f'"{name}"' for name in _MOMENT_COLUMNS)
        self.session.connection().execute(
            text(
                f"CREATE TEMPORARY TABLE moments ON COMMIT DROP AS "
                f"SELECT {columns} FROM unit_stats WITH NO DATA"
            )
        )

    def write_moments(self, source_id: int, first: int, moments: Moments) -> None:
        """The moments of a source's units from `first` on."""
        rows = _moment_rows(source_id, first, moments)
        b.copy_encoded(self.session.connection(), "moments", _MOMENT_COLUMNS, rows)

    def write_examples(self, source_id: int, packed: Iterable[tuple[int, PackedExamples]]) -> None:
        """Examples of units, by index."""
        _copy_examples(self.session.connection(), self.scan_id, source_id, packed)

    def complete(self, corpus_id: int, results: Sequence[SourceResult], n_tokens: int) -> None:
        """Joins moments and atlas, attaches the tables, and makes the sources current."""
        connection = self.session.connection()
        self._join(connection)
        connection.execute(text(f"ANALYZE {partitions.name('unit_stats', self.scan_id)}"))
        partitions.attach(connection, partitions.SCAN_TABLES, self.scan_id)
        make_current(self.session, corpus_id, [result.source_id for result in results], None)
        self.session.add_all(_scan_source(self.scan_id, corpus_id, result) for result in results)
        self.session.execute(
            update(Scan)
            .where(Scan.id == self.scan_id)
            .values(status="complete", n_tokens_done=n_tokens, finished_at=func.now(), error=None)
        )

    def _join(self, connection: Connection) -> None:
        partitions.drop(connection, ("unit_stats",), self.scan_id)
        partitions.prepare(connection, ("unit_stats",), self.scan_id)
        atlas = [name for name in _ATLAS_COLUMNS if name not in _MOMENT_COLUMNS]
        names = ", ".join(f'"{name}"' for name in (*_MOMENT_COLUMNS, *atlas))
        connection.execute(
            text(
                f"INSERT INTO {partitions.name('unit_stats', self.scan_id)} (scan_id, {names}) "
                f"SELECT {self.scan_id}, {names} "
                f"FROM moments JOIN {_unit_atlas(self.scan_id)} USING (source_id, index) "
                "ORDER BY source_id, index"
            )
        )
        drop_unit_atlas(connection, self.scan_id)


def drop_unit_atlas(connection: Connection, scan_id: int) -> None:
    """Drops what the atlas gave of units' statistics, where it is."""
    connection.execute(text(f"DROP TABLE IF EXISTS {_unit_atlas(scan_id)}"))


def _unit_atlas(scan_id: int) -> str:
    return f"unit_atlas_{int(scan_id)}"


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
    return ScanSource(
        scan_id=scan_id,
        source_id=result.source_id,
        corpus_id=corpus_id,
        is_current=True,
        n_alive=int((result.n_active > 0).sum()),
        n_atlas_positions=result.n_atlas_positions,
        density_histogram=density_histogram(result.n_active, result.n_tokens),
    )


def _atlas_row(source_id: int, record: AtlasRecord) -> bytes:
    """A row of `unit_atlas`."""
    histogram, bands, tokens = record.histogram, record.intervals, record.tokens
    return b.row(
        b.int4(source_id),
        b.int4(record.index),
        b.int4(histogram.n_zero),
        b.array("float4", histogram.edges),
        b.array("int4", histogram.counts),
        b.array("float4", bands.edges),
        b.array("int4", bands.counts),
        b.array("float4", bands.mass),
        b.array("float4", record.errors.shares),
        b.array("float4", record.errors.mass),
        b.array("int4", tokens.ids),
        b.array("float4", tokens.sums),
        b.array("int4", tokens.n_active),
        b.array("int4", tokens.n),
        b.float8(record.atlas_sum),
    )


def _moment_rows(source_id: int, first: int, moments: Moments) -> Iterable[bytes]:
    summary = summarize(moments)
    names = ("density", "mean", "std", "skewness", "kurtosis")
    given = [moments.n_active, moments.max, moments.min, *(getattr(summary, n) for n in names)]
    for index, row in enumerate(zip(*(column.tolist() for column in given), strict=True), first):
        n_active, highest, lowest, density, mean, std, skewness, kurtosis = row
        yield b.row(
            b.int4(source_id),
            b.int4(index),
            b.int8(moments.n_tokens),
            b.int8(n_active),
            b.float8(density),
            b.float4(highest),
            b.float4(lowest),
            b.float8(mean),
            b.float8(std),
            b.float8_or_null(skewness),
            b.float8_or_null(kurtosis),
        )


def _copy_examples(
    connection: Connection,
    scan_id: int,
    source_id: int,
    packed: Iterable[tuple[int, PackedExamples]],
    *,
    is_frozen: bool = False,
) -> None:
    key = b.int4(scan_id), b.int4(source_id)
    rows = (
        b.row(
            *key,
            b.int4(index),
            b.raw(each.kind.encode()),
            b.array("int4", each.windows),
            b.array("int2", each.positions),
            b.array("float4", each.values),
            b.array("int2", each.max_positions),
            b.array("float4", each.lows),
            b.array("float4", each.highs),
            b.array("int2", each.intervals),
            b.raw(each.levels),
        )
        for index, each in packed
    )
    table = partitions.name("examples", scan_id)
    b.copy_encoded(connection, table, _EXAMPLES_COLUMNS, rows, is_frozen=is_frozen)
