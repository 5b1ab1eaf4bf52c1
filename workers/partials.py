"""What one flush of a worker carries to the database, and how all of them become one result.

A worker's lists of extremes go on through all its shards of a scan. A flush takes from them only
the entries whose windows were added since the last one. Nothing is missed: an entry that is among
the k best of the corpus is among the k best of every part of it that holds its window, so it is in
the worker's list when that window is flushed. Moments are the flushed part's own.

Partials are kept by blocks of units, so that merging holds one block at a time. `merge_block` puts
any number of them together, in any order, and gives what one scan over all windows would have.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from safetensors.numpy import load, save
from torch import Tensor

from workers.kernels.extremes import NO_WINDOW, Extremes
from workers.kernels.moments import Moments
from workers.kernels.sampling import draw_keys

FIELDS = ("values", "windows", "positions", "max_positions", "lows", "highs", "levels")
# A payload stays below this, and a block of units is as large as that allows.
PAYLOAD_BYTES = 16 << 20
_MOST_UNITS = 4096

Arrays = dict[str, np.ndarray]
Rank = Callable[[Arrays], np.ndarray]
"""Gives each entry a key; entries with smaller keys stay."""


def units_in_block(k: int, context: int, n_lists: int) -> int:
    """How many units share a payload, for lists of `k` windows of `context` tokens."""
    of_unit = n_lists * k * (context + 32) + 64
    return min(max(PAYLOAD_BYTES // of_unit, 1), _MOST_UNITS)


def encode_block(
    moments: Moments,
    lists: Mapping[str, Extremes],
    is_fresh: Bool[Tensor, " windows"],
    first: int,
    last: int,
) -> bytes:
    """Units first to last: their moments, and the entries of their lists whose window is fresh."""
    rows = slice(first, last)
    arrays: Arrays = {
        "n_tokens": np.array([moments.n_tokens], np.int64),
        "n_active": moments.n_active[rows].cpu().numpy(),
        "sums": np.ascontiguousarray(moments.sums[:, rows].cpu().numpy()),
        "max": moments.max[rows].cpu().numpy(),
        "min": moments.min[rows].cpu().numpy(),
    }
    for name, state in lists.items():
        for field, array in _entries(state, is_fresh, rows).items():
            arrays[f"{name}.{field}"] = array
    return save(arrays)


def _entries(state: Extremes, is_fresh: Bool[Tensor, " windows"], rows: slice) -> Arrays:
    windows = state.windows[rows]
    held = windows != NO_WINDOW
    chosen = is_fresh[torch.where(held, windows, 0).long()] & held
    units, slots = chosen.nonzero(as_tuple=True)
    found = {"units": units.to(torch.int32).cpu().numpy()}
    for field in FIELDS:
        table = getattr(state, field)[rows]
        found[field] = table[units, slots].cpu().numpy()
    return found


@dataclass(frozen=True, slots=True)
class MergedLists:
    """Entries of a block's units, unit by unit, best first: unit i has starts[i]:starts[i + 1]."""

    starts: Int64[np.ndarray, " units_and_one"]
    arrays: Arrays

    def of(self, unit: int) -> Arrays:
        """One unit's entries, by field."""
        rows = slice(int(self.starts[unit]), int(self.starts[unit + 1]))
        return {field: array[rows] for field, array in self.arrays.items()}


@dataclass(frozen=True, slots=True)
class MergedBlock:
    """What all partials of a block say together; `moments` are NumPy-backed, on the CPU."""

    moments: Moments
    lists: dict[str, MergedLists]


def merge_block(
    payloads: Iterable[bytes], k: Mapping[str, int], ranks: Mapping[str, Rank]
) -> MergedBlock:
    """One block's partials, each flush once, in any order.

    `k` and `ranks` say, for each list, how many entries stay and which.
    Moments are added in the order given, which alone can change their last bits.
    """
    parts = [load(payload) for payload in payloads]
    lists = {}
    n_units = len(parts[0]["n_active"])
    for name, rank in ranks.items():
        if f"{name}.units" not in parts[0]:
            continue
        fields = ("units", *FIELDS)
        together = {f: np.concatenate([part[f"{name}.{f}"] for part in parts]) for f in fields}
        lists[name] = _best(together, n_units, k[name], rank)
    return MergedBlock(_add_moments(parts), lists)


def greatest_first(entries: Arrays) -> Float[np.ndarray, " entries"]:
    """The order of the top: by activation, descending."""
    return -entries["values"]


def least_first(entries: Arrays) -> Float[np.ndarray, " entries"]:
    """The order of the bottom: by activation, ascending."""
    return np.asarray(entries["values"])


def drawn_first(seed: int) -> Rank:
    """The order of the sample of active windows that `seed` draws."""
    return lambda entries: draw_keys(entries["windows"], seed)


def _best(entries: Arrays, n_units: int, k: int, rank: Rank) -> MergedLists:
    """The k best of each unit, ties by window; a window that two flushes brought counts once."""
    units = entries["units"]
    order = np.lexsort((entries["windows"], rank(entries), units))
    units, windows = units[order], entries["windows"][order]
    is_again = np.zeros(len(order), dtype=bool)
    is_again[1:] = (units[1:] == units[:-1]) & (windows[1:] == windows[:-1])
    order, units = order[~is_again], units[~is_again]
    firsts = np.searchsorted(units, np.arange(n_units))
    kept = np.arange(len(units)) - firsts[units] < k
    starts = np.searchsorted(units[kept], np.arange(n_units + 1)).astype(np.int64)
    arrays = {field: entries[field][order[kept]] for field in FIELDS}
    return MergedLists(starts, arrays)


def _add_moments(parts: list[Arrays]) -> Moments:
    return Moments(
        n_tokens=int(sum(int(part["n_tokens"][0]) for part in parts)),
        n_active=torch.from_numpy(np.sum([part["n_active"] for part in parts], axis=0)),
        sums=torch.from_numpy(np.sum([part["sums"] for part in parts], axis=0)),
        max=torch.from_numpy(np.max([part["max"] for part in parts], axis=0)),
        min=torch.from_numpy(np.min([part["min"] for part in parts], axis=0)),
    )


def blocks_of(n_units: int, each: int) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) unit of each block."""
    for first in range(0, n_units, each):
        yield first, min(first + each, n_units)
