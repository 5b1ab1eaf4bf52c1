"""From units' activations over the atlas to what is stored: few of them, in levels, token-major.

`keep` takes one unit: what is at least its floor, as levels on its own scale. `by_position` turns
the units' entries into rows of positions by counting and filling, in the order of units, so that a
row's units ascend. Cost: two passes over what is kept, one over the activations.
"""

import math
from typing import Any, NamedTuple, no_type_check

import numba
import numpy as np
from jaxtyping import Float, Float32, Int32, Int64, UInt8

from app.codec import Scale


class Entries(NamedTuple):
    """What is kept of some units, one after another: unit i has counts[i] of the entries."""

    counts: Int64[np.ndarray, " units"]
    positions: Int32[np.ndarray, " entries"]
    levels: UInt8[np.ndarray, " entries"]
    lows: Float32[np.ndarray, " units"]
    highs: Float32[np.ndarray, " units"]
    floors: Float32[np.ndarray, " units"]


class Rows(NamedTuple):
    """Entries position by position: row p is starts[p]:starts[p + 1], its units ascending."""

    starts: Int64[np.ndarray, " positions_and_one"]
    units: Int32[np.ndarray, " entries"]
    levels: UInt8[np.ndarray, " entries"]


def keep(
    x: Float[np.ndarray, "units n"], ordered: Float[np.ndarray, "units n"], most: int | None
) -> Entries:
    """The `most` entries of greatest |activation| of each unit (None: all), zeros never.

    `ordered` holds each unit's activations ascending. Where several tie at the floor all stay, so
    that what is kept does not depend on any order.
    """
    n_units, n = x.shape
    lows, highs = ordered[:, 0].copy(), ordered[:, -1].copy()
    floors = np.zeros(n_units, np.float32)
    if most is not None and most < n:
        for i in range(n_units):
            floors[i] = _floor(ordered[i], most)
    counts, found = np.zeros(n_units, np.int64), []
    positions, levels = np.empty(n + 1, np.int32), np.empty(n, np.uint8)
    for i in range(n_units):
        scale = Scale(float(lows[i]), float(highs[i]))
        steps = np.float32(scale.positive_step), np.float32(scale.negative_step)
        counts[i] = _keep(x[i], floors[i], scale.zero, *steps, positions, levels)
        found.append((positions[: counts[i]].copy(), levels[: counts[i]].copy()))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    return Entries(counts, columns[0], columns[1], lows, highs, floors)


def by_position(n_positions: int, blocks: list[Entries]) -> Rows:
    """All blocks' entries, whose units follow one another, in rows."""
    starts = np.zeros(n_positions + 1, np.int64)
    for block in blocks:
        _count(block.positions, starts)
    np.cumsum(starts, out=starts)
    units = np.empty(starts[-1], np.int32)
    levels = np.empty(starts[-1], np.uint8)
    cursors, first = starts[:-1].copy(), 0
    for block in blocks:
        _fill(block.counts, block.positions, block.levels, first, cursors, units, levels)
        first += len(block.counts)
    return Rows(starts, units, levels)


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
def _keep(
    x: Float[np.ndarray, " n"],
    floor: float,
    zero: int,
    up: float,
    down: float,
    positions: Int32[np.ndarray, " n_and_one"],
    levels: UInt8[np.ndarray, " n"],
) -> int:
    """Writes the entries, by position; how many. Levels are those of `app.codec.encode`."""
    above, below = np.float32(255 - zero), np.float32(zero)
    n = 0
    for i in range(x.size):  # without a branch, which would be guessed wrong half of the time
        positions[n] = i
        n += int(abs(x[i]) >= floor) & int(x[i] != 0)
    for j in range(n):
        v = x[positions[j]]
        if v > 0:
            levels[j] = zero + int(min(np.float32(math.floor(v / up)) + np.float32(1), above))
        else:
            levels[j] = zero - int(min(np.float32(math.floor(-v / down)) + np.float32(1), below))
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
    cursors: Int64[np.ndarray, " n"],
    units: Int32[np.ndarray, " all"],
    levels: UInt8[np.ndarray, " all"],
) -> None:
    at = 0
    for i in range(counts.size):
        for _ in range(counts[i]):
            place = cursors[positions[at]]
            cursors[positions[at]] = place + 1
            units[place] = first + i
            levels[place] = levels_in[at]
            at += 1
