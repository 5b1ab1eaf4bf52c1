"""From units' activations over the atlas to what is stored: few of them, in levels, token-major.

`keep` takes what of some dense units is at least each one's floor, `keep_active` all of sparse
ones; both as levels on the units' own scales. `Rows` turns the entries of all units into rows of
positions: it counts each position's once, then reads any run of positions out of every unit's
entries, in the order of units, so that a row's units ascend. Nothing but that run is made.
Cost: a pass over the activations, and two over what is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, no_type_check

import numba
import numpy as np
from jaxtyping import Float, Float32, Int32, Int64, UInt8

from workers.kernels.atlas import Active
from workers.kernels.levels import encode_runs


class Entries(NamedTuple):
    """What is kept of some units, one after another: unit i has counts[i] of the entries.

    A unit's positions ascend. 5 bytes an entry.
    """

    counts: Int64[np.ndarray, " units"]
    positions: Int32[np.ndarray, " entries"]
    levels: UInt8[np.ndarray, " entries"]
    lows: Float32[np.ndarray, " units"]
    highs: Float32[np.ndarray, " units"]
    floors: Float32[np.ndarray, " units"]


def keep(
    x: Float32[np.ndarray, "units n"], ordered: Float32[np.ndarray, "units n"], most: int
) -> Entries:
    """The `most` entries of greatest |activation| of each unit, zeros never.

    `ordered` holds each unit's activations ascending. Where several tie at the floor all stay, so
    that what is kept does not depend on any order. All are kept where `most` is 0 or is `n`.
    """
    n_units, n = x.shape
    floors, counts = np.zeros(n_units, np.float32), np.zeros(n_units, np.int64)
    found = []
    positions, values = np.empty(n + 1, np.int32), np.empty(n + 1, np.float32)
    for i in range(n_units):
        floors[i] = _floor(ordered[i], most) if most < n else 0
        counts[i] = _select(x[i], floors[i], positions, values)
        found.append((positions[: counts[i]].copy(), values[: counts[i]].copy()))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    return _coded(counts, columns[0], columns[1], ordered, floors)


def keep_active(active: Active, ordered: Float32[np.ndarray, "units n"]) -> Entries:
    """All activations that are not 0."""
    floors = np.zeros(len(ordered), np.float32)
    return _coded(np.diff(active.starts), active.positions, active.values, ordered, floors)


def _coded(
    counts: Int64[np.ndarray, " units"],
    positions: Int32[np.ndarray, " entries"],
    values: Float32[np.ndarray, " entries"],
    ordered: Float32[np.ndarray, "units n"],
    floors: Float32[np.ndarray, " units"],
) -> Entries:
    lows, highs = ordered[:, 0].copy(), ordered[:, -1].copy()
    levels, zeros = np.empty(len(values), np.uint8), np.empty(len(counts), np.uint8)
    encode_runs(values, np.cumsum(counts), lows, highs, levels, zeros)
    return Entries(counts, positions, levels, lows, highs, floors)


@dataclass(frozen=True)
class Rows:
    """Entries position by position; row p has starts[p + 1] - starts[p] of them."""

    starts: Int64[np.ndarray, " positions_and_one"]
    blocks: Sequence[Entries]

    @classmethod
    def of(cls, n_positions: int, blocks: Sequence[Entries]) -> "Rows":
        """Those of all units, which `blocks` have in order."""
        starts = np.zeros(n_positions + 1, np.int64)
        for block in blocks:
            _count(block.positions, starts)
        return cls(np.cumsum(starts), blocks)

    def between(
        self, first: int, last: int
    ) -> tuple[Int32[np.ndarray, " entries"], UInt8[np.ndarray, " entries"]]:
        """Units and levels of rows first to last, one row after another, units ascending."""
        cursors = self.starts[first:last] - self.starts[first]
        n = self.starts[last] - self.starts[first]
        units, levels = np.empty(n, np.int32), np.empty(n, np.uint8)
        first_unit = 0
        for block in self.blocks:
            given = (block.counts, block.positions, block.levels)
            _fill(*given, first, last, first_unit, cursors, units, levels)
            first_unit += len(block.counts)
        return units, levels


def _jit() -> Any:
    return numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit()
@no_type_check
def _floor(ordered: Float[np.ndarray, " n"], most: int) -> float:
    """The `most`-th greatest magnitude: from both ends, since magnitudes fall towards 0."""
    low, high = 0, ordered.size - 1
    floor = np.float32(0)
    for _ in range(most):
        if -ordered[low] > ordered[high]:
            floor = -ordered[low]
            low += 1
        else:
            floor = ordered[high]
            high -= 1
    return max(floor, np.float32(0))


@_jit()
@no_type_check
def _select(
    x: Float32[np.ndarray, " n"],
    floor: float,
    positions: Int32[np.ndarray, " n_and_one"],
    values: Float32[np.ndarray, " n_and_one"],
) -> int:
    """Writes what is at least the floor and not 0, by position; how many."""
    n = 0
    for i in range(x.size):  # without a branch, which would be guessed wrong half of the time
        positions[n], values[n] = i, x[i]
        n += int(abs(x[i]) >= floor) & int(x[i] != 0)
    return n


@_jit()
@no_type_check
def _count(positions: Int32[np.ndarray, " entries"], starts: Int64[np.ndarray, " m"]) -> None:
    for position in positions:
        starts[position + 1] += 1


@_jit()
@no_type_check
def _fill(
    counts: Int64[np.ndarray, " units"],
    positions: Int32[np.ndarray, " entries"],
    levels_in: UInt8[np.ndarray, " entries"],
    first: int,
    last: int,
    first_unit: int,
    cursors: Int64[np.ndarray, " rows"],
    units: Int32[np.ndarray, " some"],
    levels: UInt8[np.ndarray, " some"],
) -> None:
    """Writes a block's entries at positions first to last, each at its row's cursor."""
    end = 0
    for i in range(counts.size):
        begin, end = end, end + counts[i]
        at = begin + np.searchsorted(positions[begin:end], first)
        while at < end and positions[at] < last:
            row = positions[at] - first
            place = cursors[row]
            cursors[row] = place + 1
            units[place] = first_unit + i
            levels[place] = levels_in[at]
            at += 1
