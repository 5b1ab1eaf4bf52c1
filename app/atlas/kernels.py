"""Passes over an atlas's entries, compiled: the turn from positions to units, and sums.

Token-major, row i has the entries [starts[i], starts[i + 1]) of `units` (ascending within a row)
and of `levels`; `app.atlas.unit_major` says how the same lies by units. Arrays are read as they
are mapped from disk. A level is decoded as `app.codec.level_values` does it, to the same float32.
None takes the interpreter's lock, so that several questions are answered at once. The first call
in a process loads the compiled code, or compiles it (about a second each); so this module is
imported at the first question.
"""

from collections.abc import Callable
from typing import Any, no_type_check

import numba
import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8, UInt16, UInt32


def jit() -> Callable[[Any], Any]:
    """Compiled, and kept on disk where there is a place for that: a read-only image has none."""

    def compiled(function: Any) -> Any:
        try:
            return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
        except RuntimeError:
            return numba.njit(nogil=True, error_model="numpy")(function)

    return compiled


@numba.njit(inline="always")
@no_type_check
def value_of(
    level: np.uint8, zero: np.uint8, up: float, down: float, low: np.float32, high: np.float32
) -> np.float32:
    """The activation that `level` stands for: as app.codec.level_values has it."""
    if level == 255 and zero < 255:
        return high
    if level == 0 and zero > 0:
        return low
    offset = np.float64(level) - np.float64(zero)
    if offset > 0:
        return np.float32((offset - 0.5) * up)
    if offset < 0:
        return np.float32((offset + 0.5) * down)
    return np.float32(0)


@jit()
@no_type_check
def count_units(
    units: UInt16[np.ndarray, " entries"] | UInt32[np.ndarray, " entries"],
    counts: Int64[np.ndarray, " units"],
) -> None:
    """Adds each unit's entries to `counts`."""
    for i in range(units.size):
        counts[units[i]] += 1


@jit()
@no_type_check
def place_by_unit(
    starts: Int64[np.ndarray, " positions_and_one"],
    units: UInt16[np.ndarray, " entries"] | UInt32[np.ndarray, " entries"],
    levels: UInt8[np.ndarray, " entries"],
    places: Int64[np.ndarray, " units"],
    positions: UInt32[np.ndarray, " entries"],
    unit_levels: UInt8[np.ndarray, " entries"],
) -> None:
    """Puts every entry at its unit's next place, so that a unit's positions ascend.

    `places` starts as each unit's first and ends as the first of the one after it.
    """
    for row in range(starts.size - 1):
        for entry in range(starts[row], starts[row + 1]):
            unit = units[entry]
            place = places[unit]
            positions[place] = row
            unit_levels[place] = levels[entry]
            places[unit] = place + 1


@jit()
@no_type_check
def count_kinds(
    starts: Int64[np.ndarray, " units_and_one"],
    levels: UInt8[np.ndarray, " entries"],
    n_kinds: Int64[np.ndarray, " units"],
) -> None:
    """How many different levels each unit has, unit-major."""
    last = np.full(256, -1, np.int64)
    for unit in range(starts.size - 1):
        n = 0
        for entry in range(starts[unit], starts[unit + 1]):
            n += last[levels[entry]] != unit
            last[levels[entry]] = unit
        n_kinds[unit] = n


@jit()
@no_type_check
def write_kinds(
    starts: Int64[np.ndarray, " units_and_one"],
    levels: UInt8[np.ndarray, " entries"],
    kind_starts: Int64[np.ndarray, " units_and_one"],
    kinds: UInt8[np.ndarray, " kinds"],
    counts: UInt32[np.ndarray, " kinds"],
) -> None:
    """Each unit's levels, ascending, and its entries of each."""
    tally = np.zeros(256, np.uint32)
    for unit in range(starts.size - 1):
        for entry in range(starts[unit], starts[unit + 1]):
            tally[levels[entry]] += 1
        place, end, level = kind_starts[unit], kind_starts[unit + 1], 0
        while place < end:
            if tally[level] > 0:
                kinds[place], counts[place] = level, tally[level]
                tally[level] = 0
                place += 1
            level += 1


@jit()
@no_type_check
def add_moments(
    kind_starts: Int64[np.ndarray, " units_and_one"],
    kinds: UInt8[np.ndarray, " kinds"],
    counts: UInt32[np.ndarray, " kinds"],
    zeros: UInt8[np.ndarray, " units"],
    ups: Float64[np.ndarray, " units"],
    downs: Float64[np.ndarray, " units"],
    lows: Float32[np.ndarray, " units"],
    highs: Float32[np.ndarray, " units"],
    n_positive: Int64[np.ndarray, " units"],
    n_negative: Int64[np.ndarray, " units"],
    mass: Float64[np.ndarray, " units"],
    sums: Float64[np.ndarray, " units"],
    squares: Float64[np.ndarray, " units"],
) -> None:
    """Each unit's entries above and below 0, and the sums of what `Totals` says, into the given."""
    for unit in range(kind_starts.size - 1):
        zero = zeros[unit]
        for i in range(kind_starts[unit], kind_starts[unit + 1]):
            n, level = np.int64(counts[i]), kinds[i]
            value = np.float64(
                value_of(level, zero, ups[unit], downs[unit], lows[unit], highs[unit])
            )
            n_positive[unit] += n * (level > zero)
            n_negative[unit] += n * (level < zero)
            mass[unit] += n * max(value, 0.0)
            sums[unit] += n * value
            squares[unit] += n * value * value


@jit()
@no_type_check
def add_products(
    starts: Int64[np.ndarray, " positions_and_one"],
    units: UInt16[np.ndarray, " entries"] | UInt32[np.ndarray, " entries"],
    levels: UInt8[np.ndarray, " entries"],
    zeros: UInt8[np.ndarray, " units"],
    ups: Float64[np.ndarray, " units"],
    downs: Float64[np.ndarray, " units"],
    lows: Float32[np.ndarray, " units"],
    highs: Float32[np.ndarray, " units"],
    rows: Int64[np.ndarray, " rows"],
    weights: Float64[np.ndarray, " rows"],
    products: Float64[np.ndarray, " units"],
) -> None:
    """Adds to `products` each unit's sum of weight × activation over the given rows."""
    for i in range(rows.size):
        weight = weights[i]
        for entry in range(starts[rows[i]], starts[rows[i] + 1]):
            unit = units[entry]
            products[unit] += weight * np.float64(
                value_of(
                    levels[entry], zeros[unit], ups[unit], downs[unit], lows[unit], highs[unit]
                )
            )
