"""Moments and lists of windows of a batch in one read, compiled for the CPU.

The twin of `moments.update` and `extremes.update`: the same results, but each activation is read
from memory once. A tile of one window × `BLOCK` units stays in the core's cache: power sums,
counts, maxima and minima of the tile are taken four positions at a time (so that the sums are
loaded and stored once for four), then the few units whose window enters a list read their column
of the tile again.

Cost: 0.25 ns an activation (AVX-512), some 3% of a small model's forward.
"""

import math
from typing import Any, no_type_check

import numba
import numpy as np
from jaxtyping import Bool, Float, Int32
from torch import Tensor

from app.codec import N_LEVELS
from workers.kernels.extremes import NO_WINDOW, Extremes, empty
from workers.kernels.moments import Moments
from workers.kernels.sampling import mix

BLOCK = 512
_UNROLL = 4
_EMPTY = np.int32(NO_WINDOW)
_TOP_LEVEL = N_LEVELS - 1
# Sums may be reordered; NaN and infinity keep their meaning, since bad windows show up by them.
_FAST = {"reassoc", "contract", "nsz"}
# Rows of a tile's accumulator: four power sums, active positions, maximum, minimum.
_ACTIVE, _MAX, _MIN, _N_ROWS = 4, 5, 6, 7


def update(
    moments: Moments,
    top: Extremes,
    bottom: Extremes | None,
    x: Float[Tensor, "batch pos units"],
    windows: Int32[Tensor, " batch"],
    is_counted: Bool[Tensor, "batch pos"],
    is_duplicate: Bool[Tensor, " batch"],
    active: Extremes | None = None,
) -> int:
    """Adds a batch of float32 windows on the CPU, in the calling thread; returns -1.

    `active` is a list with a seed.

    Where a counted activation is NaN or infinite: the row of such a window, and the state is of no
    further use. Other Python threads run meanwhile; two must not share a state.
    """
    moments.n_tokens += int(is_counted.sum())
    bad: int = _update_units(
        x.contiguous().numpy(),
        windows.contiguous().numpy(),
        is_counted.contiguous().numpy(),
        is_duplicate.contiguous().numpy(),
        (moments.n_active.numpy(), moments.sums.numpy(), moments.max.numpy(), moments.min.numpy()),
        _slots(top),
        _slots(bottom) if bottom is not None else _NO_SLOTS,
        _slots(active) if active is not None else _NO_SLOTS,
        _salt(active),
    )
    return bad


def _salt(active: Extremes | None) -> np.uint64:
    seed = active.seed if active is not None and active.seed is not None else 0
    salt: np.uint64 = mix(np.array([seed % 2**64], dtype=np.uint64))[0]
    return salt


def _slots(state: Extremes) -> tuple[Any, ...]:
    return (
        state.values.numpy(),
        state.windows.numpy(),
        state.positions.numpy(),
        state.max_positions.numpy(),
        state.lows.numpy(),
        state.highs.numpy(),
        state.levels.numpy(),
    )


_NO_SLOTS = _slots(empty(0, 0, 0, 1))


def _jit(**options: Any) -> Any:
    """Compiled at the first call and kept on disk; what is compiled calls only its own module.

    (Numba notices a change in the module of a cached function, not in what it imports.)
    """
    return numba.njit(nogil=True, cache=True, error_model="numpy", **options)


@_jit()
@no_type_check
def _update_units(
    x: Float[np.ndarray, "batch pos units"],
    windows: Int32[np.ndarray, " batch"],
    is_counted: Bool[np.ndarray, "batch pos"],
    is_duplicate: Bool[np.ndarray, " batch"],
    moments: Any,
    top: Any,
    bottom: Any,
    active: Any,
    salt: Any,
) -> int:
    """The first window with a NaN or infinity in the first block of units that has any, or -1."""
    n_windows, n_pos, n_units = x.shape
    tile = np.empty((_N_ROWS, BLOCK), np.float32)
    rows = np.empty(n_pos, np.int64)
    column = np.empty(n_pos, np.float32)
    worst_top, worst_bottom = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    worst_active, last_keys = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.uint64)
    for start in range(0, n_units, BLOCK):
        end = min(start + BLOCK, n_units)
        _find_worst(top, start, end, 1, worst_top)
        _find_worst(bottom, start, end, -1, worst_bottom)
        _find_last(active, start, end, salt, worst_active, last_keys)
        for w in range(n_windows):
            n_rows = _counted_rows(is_counted[w], rows)
            if n_rows == 0:
                continue
            _read_tile(x[w], rows[:n_rows], start, end, tile)
            if not _is_finite(x[w], rows[:n_rows], start, end, tile):
                return w
            _add_moments(moments, tile, start, end)
            if is_duplicate[w]:
                continue
            of_window = (x[w], is_counted[w], column, windows[w])
            _enter(of_window, tile[_MAX], start, end, 1, top, worst_top)
            _enter(of_window, tile[_MIN], start, end, -1, bottom, worst_bottom)
            places = (worst_active, last_keys, salt)
            _enter_sample(of_window, tile[_MAX], start, end, active, places)
    return -1


@_jit()
@no_type_check
def _enter(
    of_window: Any, strongest: Any, start: int, end: int, sign: int, state: Any, worst: Any
) -> None:
    """Puts one window into the lists that it enters; `worst` is each unit's slot to give up."""
    x, is_counted, column, window = of_window
    values, windows = state[0], state[1]
    if values.shape[1] == 0:
        return
    for u in range(end - start):
        unit, signed = start + u, sign * strongest[u]
        if signed == 0 or (sign == -1 and signed < 0):
            continue
        held = sign * values[unit, worst[u]]
        if signed > held or (signed == held and window < windows[unit, worst[u]]):
            _put(x, unit, is_counted, column, window, sign, state, worst[u])
            worst[u] = _worst_slot(values[unit], windows[unit], sign)


@_jit()
@no_type_check
def _enter_sample(
    of_window: Any, strongest: Any, start: int, end: int, state: Any, places: Any
) -> None:
    """Puts one window into the samples that it enters: where it is active, and its key is early."""
    x, is_counted, column, window = of_window
    slots, last_keys, salt = places
    if state[1].shape[1] == 0:
        return
    key = _key(window, salt)
    for u in range(end - start):
        if strongest[u] > 0 and key < last_keys[u]:
            _put(x, start + u, is_counted, column, window, 1, state, slots[u])
            slots[u], last_keys[u] = _last_slot(state[1][start + u], salt)


@_jit()
@no_type_check
def _last_slot(windows: Any, salt: Any) -> tuple[int, Any]:
    """The slot that a window with an earlier key takes, and the key that it has to be before."""
    last, last_key = 0, np.uint64(0)
    for slot in range(windows.size):
        if windows[slot] == _EMPTY:
            return slot, np.uint64(0xFFFFFFFFFFFFFFFF)
        key = _key(windows[slot], salt)
        if key > last_key:
            last, last_key = slot, key
    return last, last_key


@_jit()
@no_type_check
def _key(window: int, salt: Any) -> Any:
    """`sampling.draw_keys` of one window, `salt` being the mixed seed."""
    z = (np.uint64(window) ^ salt) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@_jit()
@no_type_check
def _counted_rows(is_counted: Any, rows: Any) -> int:
    n = 0
    for position in range(is_counted.size):
        if is_counted[position]:
            rows[n] = position
            n += 1
    return n


@_jit()
@no_type_check
def _read_tile(x: Any, rows: Any, start: int, end: int, tile: Any) -> None:
    tile[: _ACTIVE + 1] = 0
    tile[_MAX] = -np.inf
    tile[_MIN] = np.inf
    whole = rows.size - rows.size % _UNROLL
    for j in range(0, whole, _UNROLL):
        _add_four(
            x[rows[j], start:end],
            x[rows[j + 1], start:end],
            x[rows[j + 2], start:end],
            x[rows[j + 3], start:end],
            tile,
        )
    for j in range(whole, rows.size):
        _add_one(x[rows[j], start:end], tile)


@_jit(fastmath=_FAST)
@no_type_check
def _add_four(a: Any, b: Any, c: Any, d: Any, tile: Any) -> None:
    # Rows by index: an array taken apart by assignment hides that its rows don't overlap, and the
    # loop is four times slower.
    s1, s2, s3, s4 = tile[0], tile[1], tile[2], tile[3]
    active, high, low = tile[_ACTIVE], tile[_MAX], tile[_MIN]
    one, none = np.float32(1), np.float32(0)
    for u in range(a.size):
        va, vb, vc, vd = a[u], b[u], c[u], d[u]
        a2, b2, c2, d2 = va * va, vb * vb, vc * vc, vd * vd
        s1[u] += (va + vb) + (vc + vd)
        s2[u] += (a2 + b2) + (c2 + d2)
        s3[u] += (a2 * va + b2 * vb) + (c2 * vc + d2 * vd)
        s4[u] += (a2 * a2 + b2 * b2) + (c2 * c2 + d2 * d2)
        n_ab = (one if va > 0 else none) + (one if vb > 0 else none)
        n_cd = (one if vc > 0 else none) + (one if vd > 0 else none)
        active[u] += n_ab + n_cd
        ab, cd = va if va > vb else vb, vc if vc > vd else vd
        most = ab if ab > cd else cd
        high[u] = most if most > high[u] else high[u]
        ab, cd = va if va < vb else vb, vc if vc < vd else vd
        least = ab if ab < cd else cd
        low[u] = least if least < low[u] else low[u]


@_jit(fastmath=_FAST)
@no_type_check
def _add_one(a: Any, tile: Any) -> None:
    s1, s2, s3, s4 = tile[0], tile[1], tile[2], tile[3]
    active, high, low = tile[_ACTIVE], tile[_MAX], tile[_MIN]
    one, none = np.float32(1), np.float32(0)
    for u in range(a.size):
        v = a[u]
        v2 = v * v
        s1[u] += v
        s2[u] += v2
        s3[u] += v2 * v
        s4[u] += v2 * v2
        active[u] += one if v > 0 else none
        high[u] = v if v > high[u] else high[u]
        low[u] = v if v < low[u] else low[u]


@_jit()
@no_type_check
def _is_finite(x: Any, rows: Any, start: int, end: int, tile: Any) -> bool:
    """A NaN or infinity leaves no finite sum; only then is each activation looked at."""
    total = np.float32(0)
    for u in range(end - start):
        total += tile[0, u] * np.float32(0)
    if total == 0:
        return True
    for row in rows:
        for unit in range(start, end):
            if not np.isfinite(x[row, unit]):
                return False
    return True


@_jit()
@no_type_check
def _add_moments(moments: Any, tile: Any, start: int, end: int) -> None:
    n_active, sums, high, low = moments
    for power in range(sums.shape[0]):
        total, part = sums[power], tile[power]
        for u in range(end - start):
            total[start + u] += part[u]
    for u in range(end - start):
        n_active[start + u] += np.int64(tile[_ACTIVE, u])
        high[start + u] = max(high[start + u], tile[_MAX, u])
        low[start + u] = min(low[start + u], tile[_MIN, u])


@_jit()
@no_type_check
def _find_worst(state: Any, start: int, end: int, sign: int, worst: Any) -> None:
    if state[0].shape[1] > 0:
        for unit in range(start, end):
            worst[unit - start] = _worst_slot(state[0][unit], state[1][unit], sign)


@_jit()
@no_type_check
def _find_last(state: Any, start: int, end: int, salt: Any, slots: Any, last_keys: Any) -> None:
    if state[1].shape[1] > 0:
        for unit in range(start, end):
            slot, key = _last_slot(state[1][unit], salt)
            slots[unit - start], last_keys[unit - start] = slot, key


@_jit()
@no_type_check
def _worst_slot(values: Any, windows: Any, sign: int) -> int:
    """The slot that a better window takes: an empty one, or the last by (-activation, window)."""
    worst = 0
    for slot in range(values.size):
        if windows[slot] == _EMPTY:
            return slot
        value, held = sign * values[slot], sign * values[worst]
        if value < held or (value == held and windows[slot] > windows[worst]):
            worst = slot
    return worst


@_jit()
@no_type_check
def _put(
    x: Any, unit: int, is_counted: Any, column: Any, window: int, sign: int, state: Any, slot: int
) -> None:
    """Writes one unit's window into a slot: its column of the tile, extremes and levels."""
    values, windows, positions, max_positions, lows, highs, levels = state
    low, high, at_low, at_high = np.float32(np.inf), np.float32(-np.inf), 0, 0
    for position in range(is_counted.size):
        v = x[position, unit]
        column[position] = v
        if is_counted[position]:
            if v > high:
                high, at_high = v, position
            if v < low:
                low, at_low = v, position
    values[unit, slot] = high if sign == 1 else low
    windows[unit, slot] = window
    positions[unit, slot] = at_high if sign == 1 else at_low
    max_positions[unit, slot] = at_high
    lows[unit, slot], highs[unit, slot] = low, high
    _encode(column, is_counted, low, high, levels[unit, slot, : is_counted.size])


@_jit()
@no_type_check
def _encode(values: Any, is_counted: Any, low: float, high: float, levels: Any) -> None:
    """Levels on the scale [low, high]: `app.codec.encode`, the level of zero where not counted."""
    below, above = max(-np.float64(low), 0.0), max(np.float64(high), 0.0)
    zero = 0
    if below > 0.0:
        zero = _TOP_LEVEL
        if above > 0.0:
            zero = int(np.rint(_TOP_LEVEL * below / (below + above)))
            zero = min(max(zero, 1), _TOP_LEVEL - 1)
    room = _TOP_LEVEL - zero
    up, down = np.float32(above / max(room, 1)), np.float32(below / max(zero, 1))
    for i in range(values.size):
        level, v = zero, values[i]
        if is_counted[i]:
            if v > 0:
                level += int(min(math.floor(v / up) + 1.0, float(room)))
            elif v < 0:
                level -= int(min(math.floor(-v / down) + 1.0, float(zero)))
        levels[i] = level
