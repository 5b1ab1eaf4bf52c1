"""The atlas of a scan: which positions of which windows it holds.

Positions are in the order of windows, then of tokens, whatever the order in which batches came.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Int, Int32, Int64
from torch import Tensor

from workers.kernels import sampling
from workers.kernels.draws import shuffled
from workers.sources.stored_windows import WindowBatch


@dataclass
class AtlasLayout:
    """Sampled windows by slot, ascending, and their counted positions one after another.

    documents   each slot's document, which ascend with the windows
    places      where each position went, in the order in which they came
    share_sampled  sampled windows ÷ all windows that count anything
    """

    seed: int
    share_sampled: float
    windows: Int32[np.ndarray, " slots"]
    lengths: Int32[np.ndarray, " slots"]
    is_duplicate: Bool[np.ndarray, " slots"]
    firsts: Int64[np.ndarray, " slots_and_one"]
    positions: Int32[np.ndarray, " n"]
    token_ids: Int32[np.ndarray, " n"]
    documents: Int32[np.ndarray, " slots"]
    places: Int64[np.ndarray, " n"]

    @cached_property
    def document_firsts(self) -> Int64[np.ndarray, " documents_and_one"]:
        """Where each document's positions begin, and where the last one's end."""
        begins = np.flatnonzero(np.diff(self.documents, prepend=-1))
        found: np.ndarray = np.append(self.firsts[begins], self.firsts[-1])
        return found

    @property
    def n_positions(self) -> int:
        """Counted positions in all."""
        return len(self.positions)

    @cached_property
    def window_slots(self) -> Int32[np.ndarray, " n"]:
        """The slot of each position's window."""
        slots = np.arange(len(self.windows), dtype=np.int32)
        repeated: np.ndarray = np.repeat(slots, np.diff(self.firsts))
        return repeated

    @cached_property
    def tokens(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Token ids that occur, ascending; for each position its place among them; counts."""
        ids, places, counts = np.unique(self.token_ids, return_inverse=True, return_counts=True)
        return ids, places.astype(np.int32), counts

    @cached_property
    def visit(self) -> Int32[np.ndarray, " eligible"]:
        """Positions of windows that may be examples, shuffled."""
        numbers = self.windows[self.window_slots].astype(np.int64) << 16 | self.positions
        keys = sampling.draw_keys(numbers, self.seed + 1)
        return shuffled(keys, ~self.is_duplicate[self.window_slots])

    @cached_property
    def turns(self) -> Int32[np.ndarray, " n"]:
        """Each position's place in `visit`; -1 where it is not there."""
        found: np.ndarray = np.full(self.n_positions, -1, np.int32)
        found[self.visit] = np.arange(len(self.visit))
        return found

    @cached_property
    def visit_windows(self) -> Int32[np.ndarray, " eligible"]:
        """Slots of windows that may be examples, shuffled."""
        return shuffled(sampling.draw_keys(self.windows, self.seed + 2), ~self.is_duplicate)


@dataclass(frozen=True, slots=True)
class Taken:
    """The sampled windows of one batch: their rows, ascending, and each one's first position."""

    rows: Int64[Tensor, " taken"]
    firsts: Int64[Tensor, " taken"]

    def between(self, first: int, last: int) -> tuple[Int64[Tensor, " some"], int]:
        """Those in rows first to last, counted from `first`; the first one's first position."""
        is_inside = (self.rows >= first) & (self.rows < last)
        rows = self.rows[is_inside]
        return rows - first, int(self.firsts[is_inside][0]) if len(rows) else 0


@dataclass
class AtlasBuilder:
    """Collects the layout while batches pass by; `sampled` are the atlas's windows, ascending.

    `documents`: of each of them. `n_windows`: how many windows they were drawn from.
    """

    seed: int
    sampled: Int[np.ndarray, " sampled"]
    documents: Int[np.ndarray, " sampled"]
    n_windows: int
    n_positions: int = 0
    _parts: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def take(self, batch: WindowBatch) -> Taken:
        """The batch's sampled windows, which become the layout's next slots."""
        rows = torch.from_numpy(np.flatnonzero(np.isin(batch.windows.numpy(), self.sampled)))
        is_counted = batch.is_counted[rows]
        n_counted = is_counted.sum(dim=1)
        firsts = self.n_positions + n_counted.cumsum(0) - n_counted
        self.n_positions += int(n_counted.sum())
        self._parts.append(
            (
                batch.windows[rows].numpy(),
                batch.lengths[rows].numpy(),
                batch.is_duplicate[rows].numpy(),
                n_counted.numpy(),
                is_counted.nonzero()[:, 1].numpy(),
                batch.token_ids[rows][is_counted].numpy(),
            )
        )
        return Taken(rows, firsts)

    def layout(self) -> AtlasLayout:
        """The layout of all that was collected."""
        columns = zip(*self._parts, strict=True)
        windows, lengths, is_duplicate, n, positions, token_ids = map(np.concatenate, columns)
        order = np.argsort(windows, kind="stable")
        firsts, n = np.cumsum(n) - n, n[order]
        ends = np.concatenate([[0], np.cumsum(n)]).astype(np.int64)
        came = np.arange(ends[-1]) + np.repeat(firsts[order] - ends[:-1], n)
        places = np.empty_like(came)
        places[came] = np.arange(len(came))
        of = self.documents[np.searchsorted(self.sampled, windows[order])]
        return AtlasLayout(
            seed=self.seed,
            share_sampled=len(windows) / max(self.n_windows, 1),
            windows=windows[order].astype(np.int32),
            lengths=lengths[order].astype(np.int32),
            is_duplicate=is_duplicate[order],
            firsts=ends,
            positions=positions[came].astype(np.int32),
            token_ids=token_ids[came].astype(np.int32),
            documents=of.astype(np.int32),
            places=places,
        )
