"""Sums over an atlas's entries, compiled: which rows a unit is active in, and what others do there.

All read the token-major rows as they are mapped from disk: row i has the entries
[starts[i], starts[i + 1]) of `units` (ascending within a row) and of `levels`. A level is decoded
as `app.codec.level_values` does it, to the same float32. None takes the interpreter's lock, so
that several questions are answered at once. The first call in a process loads the compiled code,
or compiles it (about a second each); so this module is imported at the first question.
"""

from collections.abc import Callable
from typing import Any, no_type_check

import numba
import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8, UInt16, UInt32


def _jit() -> Callable[[Any], Any]:
    """Compiled, and kept on disk where there is a place for that: a read-only image has none."""

    def compiled(function: Any) -> Any:
        try:
            return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
        except RuntimeError:
            return numba.njit(nogil=True, error_model="numpy")(function)

    return compiled


@numba.njit(inline="always")
@no_type_check
def _value(
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


@_jit()
@no_type_check
def add_moments(
    units: UInt16[np.ndarray, " entries"] | UInt32[np.ndarray, " entries"],
    levels: UInt8[np.ndarray, " entries"],
    zeros: UInt8[np.ndarray, " units"],
    ups: Float64[np.ndarray, " units"],
    downs: Float64[np.ndarray, " units"],
    lows: Float32[np.ndarray, " units"],
    highs: Float32[np.ndarray, " units"],
    counts: Int64[np.ndarray, " units"],
    least: UInt8[np.ndarray, " units"],
    greatest: UInt8[np.ndarray, " units"],
    sums: Float64[np.ndarray, " units"],
    squares: Float64[np.ndarray, " units"],
) -> None:
    """Each unit's entries, least and greatest level, sum and sum of squares, into what is given."""
    for i in range(units.size):
        unit, level = units[i], levels[i]
        value = np.float64(
            _value(level, zeros[unit], ups[unit], downs[unit], lows[unit], highs[unit])
        )
        counts[unit] += 1
        least[unit] = min(least[unit], level)
        greatest[unit] = max(greatest[unit], level)
        sums[unit] += value
        squares[unit] += value * value


@_jit()
@no_type_check
def find_rows(
    starts: Int64[np.ndarray, " positions_and_one"],
    units: UInt16[np.ndarray, " entries"] | UInt32[np.ndarray, " entries"],
    unit: int,
    rows: Int64[np.ndarray, " positions"],
    entries: Int64[np.ndarray, " positions"],
) -> int:
    """Writes the rows that `unit` is in and its entry in each; returns how many there are.

    A binary search in each row.
    """
    n_found = 0
    for row in range(starts.size - 1):
        low, end = starts[row], starts[row + 1]
        high = end
        while low < high:
            middle = (low + high) // 2
            if units[middle] < unit:
                low = middle + 1
            else:
                high = middle
        if low < end and units[low] == unit:
            rows[n_found] = row
            entries[n_found] = low
            n_found += 1
    return n_found


@_jit()
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
                _value(levels[entry], zeros[unit], ups[unit], downs[unit], lows[unit], highs[unit])
            )
