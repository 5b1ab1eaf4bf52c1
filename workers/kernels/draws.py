"""Examples drawn from one unit's activations over the atlas: which positions, and their windows.

Positions are visited in one shuffled order, each unit from a place of its own; `draw_from_bands`
takes the first of each band. Where most activations are 0 a unit's rare bands would have it visit
them all: `turns_of_few` names those that can matter. Windows are then read and coded together.
"""

from typing import Any, NamedTuple, no_type_check

import numba
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Int64, UInt8

from workers.kernels.levels import encode_runs

N_FIRST = 64
"""Positions visited first, whatever their activation: enough to find a common band's examples."""


class Windows(NamedTuple):
    """Windows of some units, one after another; `levels` of window i from token starts[i] on.

    lows, highs     least and greatest counted activation
    max_positions   the first token with the greatest
    """

    lows: Float32[np.ndarray, " windows"]
    highs: Float32[np.ndarray, " windows"]
    max_positions: Int32[np.ndarray, " windows"]
    starts: Int64[np.ndarray, " windows_and_one"]
    levels: UInt8[np.ndarray, " tokens"]


def shuffled(keys: Any, is_eligible: Bool[np.ndarray, " n"]) -> Int32[np.ndarray, " eligible"]:
    """Eligible entries in the order of their keys."""
    order: np.ndarray = np.argsort(keys, kind="stable")
    eligible: np.ndarray = order[is_eligible[order]].astype(np.int32)
    return eligible


def draw(
    x: Float[np.ndarray, " n"],
    active: Int32[np.ndarray, " active"] | None,
    edges: Float[np.ndarray, " edges"],
    order: Int32[np.ndarray, " eligible"],
    turns: Int32[np.ndarray, " n"],
    start: int,
    window_slots: Int32[np.ndarray, " n"],
    each: int,
) -> Int32[np.ndarray, "bands each"]:
    """`draw_from_bands`, in less time where `active`, the positions that are not 0, are given.

    `turns` is each position's place in `order`, -1 where it is not there.
    """
    drawn = np.empty((len(edges) - 1, each), np.int32)
    if active is not None:
        few = turns_of_few(active, turns, start, len(order))
        visited = order[(few + start) % len(order)]
        draw_from_bands(x, edges, visited, 0, window_slots, drawn)
        last = drawn[0, -1]  # zeros are all in the first band
        is_full = last >= 0 and (turns[last] - start) % len(order) < N_FIRST
        if is_full or len(few) == len(order):
            return drawn
    draw_from_bands(x, edges, order, start, window_slots, drawn)
    return drawn


def turns_of_few(
    active: Int32[np.ndarray, " active"], turns: Int32[np.ndarray, " n"], start: int, n: int
) -> Int64[np.ndarray, " few"]:
    """Turns, counted from `start`, of the first `N_FIRST` positions and of all `active` ones."""
    of_active = turns[active]
    of_active = (of_active[of_active >= 0].astype(np.int64) - start) % n
    first = np.arange(min(N_FIRST, n))
    rest = np.sort(of_active[of_active >= len(first)])
    return np.concatenate([first, rest])


def read_windows(
    x: Float32[np.ndarray, "units n"],
    units: Int64[np.ndarray, " windows"],
    slots: Int32[np.ndarray, " windows"],
    firsts: Int64[np.ndarray, " slots_and_one"],
    positions: Int32[np.ndarray, " n"],
    lengths: Int32[np.ndarray, " slots"],
) -> Windows:
    """Windows, by slot, as the units named saw them.

    The window in slot s has its counted activations at x[unit, firsts[s]:firsts[s + 1]], which
    stand at `positions` of its `lengths[s]` tokens. There is at least one.
    """
    n = len(slots)
    ends = np.cumsum(firsts[slots + 1] - firsts[slots])
    values = np.empty(ends[-1] if n else 0, np.float32)
    lows, highs = np.empty(n, np.float32), np.empty(n, np.float32)
    max_positions, zeros = np.empty(n, np.int32), np.empty(n, np.uint8)
    _gather(x, units, slots, firsts, positions, values, lows, highs, max_positions)
    counted = np.empty(len(values), np.uint8)
    encode_runs(values, ends, lows, highs, counted, zeros)
    starts = np.concatenate([[0], np.cumsum(lengths[slots], dtype=np.int64)])
    levels = np.empty(starts[-1], np.uint8)
    _lay_out(counted, zeros, slots, firsts, positions, starts, levels)
    return Windows(lows, highs, max_positions, starts, levels)


def _jit() -> Any:
    return numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit()
@no_type_check
def draw_from_bands(
    x: Float[np.ndarray, " n"],
    edges: Float[np.ndarray, " edges"],
    order: Int32[np.ndarray, " eligible"],
    start: int,
    window_slots: Int32[np.ndarray, " n"],
    drawn: Int32[np.ndarray, "bands each"],
) -> None:
    """Positions drawn uniformly from each band, at most one a window; -1 where there are fewer.

    `order` is a shuffle of the eligible positions; it is walked from `start` on, round and round
    once, so that units differ. A band's draws are in the order drawn.
    """
    n_bands, each = drawn.shape
    drawn[:] = -1
    n_drawn = np.zeros(n_bands, np.int64)
    n_full = 0
    for step in range(order.size):
        at = start + step
        position = order[at - order.size if at >= order.size else at]
        band = n_bands - 1
        while band > 0 and x[position] < edges[band]:
            band -= 1
        n = n_drawn[band]
        if n == each:
            continue
        is_new = True
        for i in range(n):
            is_new = is_new and window_slots[drawn[band, i]] != window_slots[position]
        if not is_new:
            continue
        drawn[band, n] = position
        n_drawn[band] = n + 1
        if n + 1 == each:
            n_full += 1
            if n_full == n_bands:
                return


@_jit()
@no_type_check
def _gather(
    x: Any,
    units: Any,
    slots: Any,
    firsts: Any,
    positions: Any,
    values: Any,
    lows: Any,
    highs: Any,
    max_positions: Any,
) -> None:
    at = 0
    for i in range(slots.size):
        row, first = x[units[i]], firsts[slots[i]]
        low, high, best = row[first], row[first], first
        for j in range(first, firsts[slots[i] + 1]):
            values[at] = row[j]
            at += 1
            low = min(low, row[j])
            if row[j] > high:
                high, best = row[j], j
        lows[i], highs[i], max_positions[i] = low, high, positions[best]


@_jit()
@no_type_check
def _lay_out(
    counted: Any, zeros: Any, slots: Any, firsts: Any, positions: Any, starts: Any, levels: Any
) -> None:
    """Levels of counted tokens to their places; uncounted ones hold that of 0."""
    at = 0
    for i in range(slots.size):
        levels[starts[i] : starts[i + 1]] = zeros[i]
        for j in range(firsts[slots[i]], firsts[slots[i] + 1]):
            levels[starts[i] + positions[j]] = counted[at]
            at += 1
