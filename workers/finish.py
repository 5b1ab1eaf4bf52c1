"""From the atlas of a scan, as it was collected, to what is stored of each unit.

Units are finished in blocks, each in a thread: its activations over the atlas are read back from
scratch, sorted, and reduced; examples of intervals and random ones are drawn; levels are packed.
Of sparse sources all but sorting looks only at what is not 0. Blocks come out in order, and only a
few are under way, so memory stays bounded.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, Int32

from workers.atlas import AtlasLayout
from workers.kernels import atlas, sampling, stored_atlas
from workers.kernels.atlas import Histogram, Intervals
from workers.kernels.band_errors import BandErrors, band_errors
from workers.kernels.draws import Windows, draw, read_windows
from workers.kernels.stored_atlas import Entries
from workers.packing import NONE, PackedExamples, compress
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
    """Atlas examples of one unit before their windows are read: intervals', then random ones."""

    slots: Int32[np.ndarray, " examples"]
    positions: Int32[np.ndarray, " drawn"]  # atlas positions, of intervals' alone
    bands: Int32[np.ndarray, " drawn"]


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
        x = self.part.spool.read(self.first, self.last, self.layout.places)
        n = x.shape[1]
        if self.part.source.is_sparse:
            active = atlas.find_active(x)
            ordered = atlas.sort_active(active, n)
            entries = stored_atlas.keep_active(active, ordered)
        else:
            active, ordered = None, np.sort(x, axis=1)
            entries = stored_atlas.keep(x, ordered, int(SHARE_KEPT * n))
        units = [
            _Unit(self.layout, self.first + i, x[i], ordered[i], active and active.of(i))
            for i in range(len(x))
        ]
        return FinishedBlock(self._records(x, units), entries)

    def _records(
        self, x: Float32[np.ndarray, "units n"], units: list["_Unit"]
    ) -> list[AtlasRecord]:
        """The units' records; windows of the whole block are read at once."""
        layout = self.layout
        bands = [atlas.intervals(unit.ordered) for unit in units]
        draws = [unit.draw(some) for unit, some in zip(units, bands, strict=True)]
        counts = [len(each.slots) for each in draws]
        of, slots = np.repeat(np.arange(len(x)), counts), np.concatenate([d.slots for d in draws])
        given = (layout.firsts, layout.positions, layout.lengths)
        windows = read_windows(x, of, slots, *given)
        ends = np.cumsum(counts)
        return [
            unit.record(bands[i], draws[i], windows, int(ends[i]) - counts[i])
            for i, unit in enumerate(units)
        ]


@dataclass(frozen=True, slots=True)
class _Unit:
    """One unit's activations over the atlas, also ascending; those that are not 0, if sparse."""

    layout: AtlasLayout
    index: int
    x: Float32[np.ndarray, " n"]
    ordered: Float32[np.ndarray, " n"]
    active: tuple[Int32[np.ndarray, " active"], Float32[np.ndarray, " active"]] | None

    def record(self, bands: Intervals, drawn: _Draws, windows: Windows, first: int) -> AtlasRecord:
        """What is stored of it; its examples' windows begin with number `first`."""
        return AtlasRecord(
            index=self.index,
            histogram=atlas.histogram(self.ordered),
            intervals=bands,
            tokens=self._tokens(),
            atlas_sum=atlas.positive_sum(self.ordered),
            errors=self._errors(bands),
            examples=self._packed(drawn, windows, first),
        )

    def _errors(self, bands: Intervals) -> BandErrors:
        firsts, share = self.layout.document_firsts, self.layout.share_sampled
        if self.active is None:
            return band_errors(self.x, bands.edges, firsts, share)
        positions, values = self.active
        of_active = np.searchsorted(positions, firsts)
        n_zeros = np.diff(firsts) - np.diff(of_active)
        return band_errors(values, bands.edges, of_active, share, n_zeros)

    def _tokens(self) -> TokenSums:
        ids, places, counts = self.layout.tokens
        x = self.x
        if self.active is not None:
            positions, x = self.active
            places = places[positions]
        slots, n_active = np.zeros(N_TOKENS, np.int32), np.zeros(N_TOKENS, np.int32)
        sums = np.zeros(N_TOKENS)
        n = atlas.strongest_tokens(x, places, len(ids), slots, sums, n_active)
        chosen = slots[:n]
        return TokenSums(ids[chosen], sums[:n], n_active[:n], counts[chosen])

    def draw(self, bands: Intervals) -> _Draws:
        """Examples of its intervals, strongest first, and random ones."""
        layout, x = self.layout, self.x
        key = int(sampling.draw_keys(np.array([self.index]), layout.seed + 3)[0])
        positions, chosen = NONE, NONE
        if len(layout.visit):
            given = (layout.visit, layout.turns, key % len(layout.visit), layout.window_slots)
            active = None if self.active is None else self.active[0]
            drawn = draw(x, active, bands.edges, *given, N_PER_INTERVAL)
            positions = drawn[drawn >= 0]
            positions = positions[np.argsort(-x[positions], kind="stable")]
        of = np.searchsorted(bands.edges[1:-1], x[positions], "right").astype(np.int32)
        n_windows = len(layout.visit_windows)
        if n_windows:
            at = key % n_windows + np.arange(min(N_RANDOM, n_windows))
            chosen = layout.visit_windows[at % n_windows]
        slots = np.concatenate([layout.window_slots[positions], chosen])
        return _Draws(slots, positions, of)

    def _packed(self, drawn: _Draws, windows: Windows, first: int) -> list[PackedExamples]:
        at, n = drawn.positions, len(drawn.slots)
        of_intervals = (0, len(at), self.layout.positions[at], self.x[at], drawn.bands)
        some = slice(first + len(at), first + n)
        of_random = (len(at), n, windows.max_positions[some], windows.highs[some], NONE)
        packed = []
        for kind, given in (("interval", of_intervals), ("random", of_random)):
            begin, end, positions, values, intervals = given
            if begin == end:
                continue
            here = slice(first + begin, first + end)
            tokens = slice(windows.starts[first + begin], windows.starts[first + end])
            packed.append(
                PackedExamples(
                    kind=kind,
                    windows=self.layout.windows[drawn.slots[begin:end]],
                    positions=positions,
                    values=values,
                    max_positions=windows.max_positions[here],
                    lows=windows.lows[here],
                    highs=windows.highs[here],
                    intervals=intervals,
                    levels=compress(windows.levels[tokens]),
                )
            )
        return packed
