"""From the atlas of a scan, as it was collected, to what is stored of each unit.

Units are finished in blocks, each in a thread: its activations over the atlas are read back from
the scratch file, sorted, and reduced; examples of intervals and random ones are drawn; levels are
packed. Blocks come out in order, and only a few are under way, so memory stays bounded.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int32, UInt8

from workers.atlas import AtlasLayout
from workers.kernels import atlas, sampling, stored_atlas
from workers.kernels.atlas import Histogram, Intervals
from workers.kernels.band_errors import BandErrors, band_errors
from workers.kernels.levels import encode_rows
from workers.kernels.stored_atlas import Entries
from workers.packing import NONE, PackedExamples, pack_levels
from workers.scan import SourceScan

BLOCK_UNITS = 64
SHARE_KEPT = 1 / 8
"""Of a neuron's activations in the atlas, the strongest that are stored: 3/8 byte a position."""
N_TOKENS = 10
N_PER_INTERVAL = 5
N_RANDOM = 5


@dataclass(frozen=True, slots=True)
class TokenSums:
    """The tokens with most of a unit's positive activation, most first."""

    ids: Int[np.ndarray, " tokens"]
    sums: Float[np.ndarray, " tokens"]
    n_active: Int[np.ndarray, " tokens"]
    n: Int[np.ndarray, " tokens"]


@dataclass(frozen=True, slots=True)
class AtlasRecord:
    """What the atlas says of one unit."""

    index: int
    histogram: Histogram
    intervals: Intervals
    tokens: TokenSums
    atlas_sum: float
    errors: BandErrors
    examples: list[PackedExamples]


class FinishedBlock(NamedTuple):
    """Units that follow one another: their records, and what is stored of their atlas."""

    records: list[AtlasRecord]
    entries: Entries


@dataclass(frozen=True, slots=True)
class _Draws:
    """Atlas examples of one unit before their windows are read: parallel arrays."""

    slots: Int32[np.ndarray, " examples"]
    positions: Int32[np.ndarray, " examples"]  # atlas positions; -1 stands for the maximum's
    bands: Int32[np.ndarray, " examples"]  # -1 where random


def finish_atlas(
    part: SourceScan, layout: AtlasLayout, threads: Executor, n_threads: int
) -> Iterator[FinishedBlock]:
    """Records of all units of a source whose atlas was collected, in order, block by block."""
    waiting: deque[Future[FinishedBlock]] = deque()
    for first in range(0, part.source.n_units, BLOCK_UNITS):
        last = min(first + BLOCK_UNITS, part.source.n_units)
        block = _Block(part, layout, first, last)
        waiting.append(threads.submit(block.finish))
        if len(waiting) > n_threads:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@dataclass(frozen=True, slots=True)
class _Block:
    """Units first to last of a source."""

    part: SourceScan
    layout: AtlasLayout
    first: int
    last: int

    def finish(self) -> FinishedBlock:
        """All that the atlas says of the block."""
        assert self.part.spool is not None, "the atlas is not being collected"
        x = np.take(self.part.spool.read(self.first, self.last), self.layout.came, axis=1)
        ordered = atlas.sort_mostly_zero(x) if self.part.source.is_sparse else np.sort(x, axis=1)
        histograms = [atlas.histogram(row) for row in ordered]
        bands = [atlas.intervals(row) for row in ordered]
        draws = [self._draw(x[i], bands[i], self.first + i) for i in range(len(x))]
        drawn = self._read_windows(x, draws)
        records = [
            AtlasRecord(
                index=self.first + i,
                histogram=histograms[i],
                intervals=bands[i],
                tokens=self._tokens(x[i]),
                atlas_sum=float(np.maximum(ordered[i], 0).sum(dtype=np.float64)),
                errors=self._errors(x[i], bands[i]),
                examples=drawn[i],
            )
            for i in range(len(x))
        ]
        most = None if self.part.source.is_sparse else int(SHARE_KEPT * x.shape[1])
        return FinishedBlock(records, stored_atlas.keep(x, ordered, most))

    def _errors(self, x: Float32[np.ndarray, " n"], bands: Intervals) -> BandErrors:
        layout = self.layout
        return band_errors(x, bands.edges, layout.document_firsts, layout.share_sampled)

    def _tokens(self, x: Float32[np.ndarray, " n"]) -> TokenSums:
        ids, places, counts = self.layout.tokens
        slots, n_active = np.zeros(N_TOKENS, np.int32), np.zeros(N_TOKENS, np.int32)
        sums = np.zeros(N_TOKENS)
        n = atlas.strongest_tokens(x, places, len(ids), slots, sums, n_active)
        chosen = slots[:n]
        return TokenSums(ids[chosen], sums[:n], n_active[:n], counts[chosen])

    def _draw(self, x: Float32[np.ndarray, " n"], bands: Intervals, unit: int) -> _Draws:
        layout = self.layout
        key = int(sampling.draw_keys(np.array([unit]), layout.seed + 3)[0])
        positions, chosen = NONE, NONE
        if len(layout.visit):
            drawn = np.empty((len(bands.counts), N_PER_INTERVAL), np.int32)
            start = key % len(layout.visit)
            atlas.draw_from_bands(x, bands.edges, layout.visit, start, layout.window_slots, drawn)
            positions = drawn[drawn >= 0]
            positions = positions[np.argsort(-x[positions], kind="stable")]
        of = np.searchsorted(bands.edges[1:-1], x[positions], "right").astype(np.int32)
        if len(layout.visit_windows):
            at = key % len(layout.visit_windows) + np.arange(N_RANDOM)
            chosen = layout.visit_windows[
                at[: len(layout.visit_windows)] % len(layout.visit_windows)
            ]
        absent = np.full(len(chosen), -1, np.int32)
        return _Draws(
            slots=np.concatenate([layout.window_slots[positions], chosen]),
            positions=np.concatenate([positions, absent]),
            bands=np.concatenate([of, absent]),
        )

    def _read_windows(
        self, x: Float32[np.ndarray, "units n"], draws: list[_Draws]
    ) -> list[list[PackedExamples]]:
        """Interval and random examples of each unit; levels of the whole block at once."""
        layout = self.layout
        counts = [len(draw.slots) for draw in draws]
        rows = np.zeros((sum(counts), int(layout.lengths.max())), np.float32)
        is_counted = np.zeros(rows.shape, np.bool_)
        bounds = np.concatenate([[0], np.cumsum(counts)])
        for i, draw in enumerate(draws):
            part = slice(bounds[i], bounds[i + 1])
            given = (x[i], draw.slots, layout.firsts, layout.positions)
            atlas.gather_windows(*given, rows[part], is_counted[part])
        highs = np.where(is_counted, rows, -np.inf)
        lows = np.where(is_counted, rows, np.inf).min(axis=1)
        max_positions, highs = highs.argmax(axis=1), highs.max(axis=1)
        levels = encode_rows(*map(torch.from_numpy, (rows, is_counted, lows, highs))).numpy()
        found = []
        for i, draw in enumerate(draws):
            of_unit = slice(bounds[i], bounds[i + 1])
            columns = (max_positions[of_unit], lows[of_unit], highs[of_unit], levels[of_unit])
            found.append(self._pack_drawn(x[i], draw, *columns))
        return found

    def _pack_drawn(
        self,
        x: Float32[np.ndarray, " n"],
        draw: _Draws,
        max_positions: Int[np.ndarray, " examples"],
        lows: Float32[np.ndarray, " examples"],
        highs: Float32[np.ndarray, " examples"],
        levels: UInt8[np.ndarray, "examples pos"],
    ) -> list[PackedExamples]:
        layout = self.layout
        lengths = layout.lengths[draw.slots]
        packed = []
        for kind, chosen in (
            ("interval", np.flatnonzero(draw.bands >= 0)),
            ("random", np.flatnonzero(draw.bands < 0)),
        ):
            if len(chosen) == 0:
                continue
            at, is_random = draw.positions[chosen], kind == "random"
            packed.append(
                PackedExamples(
                    kind=kind,
                    windows=layout.windows[draw.slots[chosen]],
                    positions=max_positions[chosen] if is_random else layout.positions[at],
                    values=highs[chosen] if is_random else x[at],
                    max_positions=max_positions[chosen],
                    lows=lows[chosen],
                    highs=highs[chosen],
                    intervals=NONE if is_random else draw.bands[chosen],
                    levels=pack_levels(levels[chosen], lengths[chosen]),
                )
            )
        return packed
