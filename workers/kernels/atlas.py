"""From one unit's activations over the atlas: histogram, intervals, tokens, drawn examples.

`histogram` and `intervals` take the activations sorted; both cover every position exactly once,
since their edges are float32 values that the counting itself uses. Tokens and examples are drawn
by compiled kernels that read the activations in the atlas's own order.

Cost: a sort of the unit's activations, and a few passes over them.
"""

from typing import Any, NamedTuple, no_type_check

import numba
import numpy as np
from jaxtyping import Bool, Float, Int, Int32, Int64

N_BINS = 40
QUANTILES = (0.25, 0.5, 0.75, 0.95)
_ZERO = np.float32(0)  # of the activations' own type, or searching would copy them


class Histogram(NamedTuple):
    """Bins [edge, next edge), the last closed; 0 is an edge; exact zeros only in `n_zero`."""

    edges: Float[np.ndarray, " edges"]
    counts: Int64[np.ndarray, " bins"]
    n_zero: int


class Intervals(NamedTuple):
    """Bands [edge, next edge), the last closed; `mass` is the sum of |activation| in each."""

    edges: Float[np.ndarray, " edges"]
    counts: Int64[np.ndarray, " bands"]
    mass: Float[np.ndarray, " bands"]


def sort_mostly_zero(x: Float[np.ndarray, "units n"]) -> Float[np.ndarray, "units n"]:
    """`np.sort(x, axis=1)`, with only what is not 0 sorted."""
    ordered = np.zeros_like(x)
    for row, out in zip(x, ordered, strict=True):
        found = np.sort(row[row != 0])
        n_below = int(np.searchsorted(found, _ZERO))
        out[:n_below] = found[:n_below]
        out[len(out) - (len(found) - n_below) :] = found[n_below:]
    return ordered


def histogram(ordered: Float[np.ndarray, " n"]) -> Histogram:
    """About `N_BINS` bins of equal width on each side of 0, over [min(x, 0), max(x, 0)].

    `ordered` ascends. Without any activation but 0: one edge, no bin.
    """
    low, high = min(float(ordered[0]), 0.0), max(float(ordered[-1]), 0.0)
    first_zero, after_zero = (
        np.searchsorted(ordered, _ZERO, "left"),
        np.searchsorted(ordered, _ZERO, "right"),
    )
    n_zero = int(after_zero - first_zero)
    edges = _bin_edges(low, high)
    if len(edges) == 1:
        return Histogram(edges, np.zeros(0, dtype=np.int64), n_zero)
    bounds = np.searchsorted(ordered, edges, "left")
    bounds[-1] = len(ordered)
    counts = np.diff(bounds)
    at_zero = int(np.searchsorted(edges, 0, "left"))
    counts[min(at_zero, len(counts) - 1)] -= n_zero
    return Histogram(edges, counts, n_zero)


def _bin_edges(low: float, high: float) -> Float[np.ndarray, " edges"]:
    n_below = 0
    if low < 0:
        n_below = N_BINS if high == 0 else round(N_BINS * low / (low - high))
        n_below = min(max(n_below, 1), N_BINS - 1 if high > 0 else N_BINS)
    below = np.linspace(low, 0.0, n_below + 1)
    above = np.linspace(0.0, high, N_BINS - n_below + 1) if high > 0 else np.zeros(1)
    # Bins narrower than float32 can tell apart fall together.
    edges: np.ndarray = np.unique(np.concatenate([below, above]).astype(np.float32))
    return edges


def intervals(ordered: Float[np.ndarray, " n"]) -> Intervals:
    """One band for all positions <= 0, then the positive ones cut at their quantiles.

    `ordered` ascends. An edge is an activation that occurs (the quantile is the sorted positive
    activation at place floor(q · n)), so ties are never split; bands that would be empty are
    merged away.
    """
    n_below = int(np.searchsorted(ordered, _ZERO, "right"))
    n_positive = len(ordered) - n_below
    edges = [ordered[0]] if n_below else []
    if n_positive:
        edges.append(ordered[n_below])
        for quantile in QUANTILES:
            cut = ordered[n_below + int(quantile * n_positive)]
            if edges[-1] < cut < ordered[-1]:
                edges.append(cut)
    starts = np.searchsorted(ordered, np.array(edges, dtype=np.float32), "left")
    mass = np.add.reduceat(np.abs(ordered), starts, dtype=np.float64)
    return Intervals(
        edges=np.array([*edges, ordered[-1]], dtype=np.float32),
        counts=np.diff(np.append(starts, len(ordered))),
        mass=mass,
    )


def _jit() -> Any:
    return numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit()
@no_type_check
def strongest_tokens(
    x: Float[np.ndarray, " n"],
    token_slots: Int32[np.ndarray, " n"],
    n_slots: int,
    slots: Int32[np.ndarray, " k"],
    sums: Float[np.ndarray, " k"],
    n_active: Int32[np.ndarray, " k"],
) -> int:
    """The tokens with most summed positive activation, in the given arrays; how many there are.

    `token_slots` numbers the atlas's tokens by ascending id; ties go to the smaller.
    """
    all_sums, all_active = np.zeros(n_slots), np.zeros(n_slots, np.int32)
    for i in range(x.size):
        if x[i] > 0:
            all_sums[token_slots[i]] += x[i]
            all_active[token_slots[i]] += 1
    n_found, k = 0, slots.size
    for slot in range(n_slots):
        total = all_sums[slot]
        if total <= 0 or (n_found == k and total <= sums[k - 1]):
            continue
        place = min(n_found, k - 1)
        while place > 0 and sums[place - 1] < total:
            sums[place], slots[place] = sums[place - 1], slots[place - 1]
            place -= 1
        sums[place], slots[place] = total, slot
        n_found = min(n_found + 1, k)
    for i in range(n_found):
        n_active[i] = all_active[slots[i]]
    return n_found


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
def gather_windows(
    x: Float[np.ndarray, " n"],
    slots: Int32[np.ndarray, " examples"],
    firsts: Int64[np.ndarray, " windows_and_one"],
    positions: Int[np.ndarray, " n"],
    rows: Float[np.ndarray, "examples pos"],
    is_counted: Bool[np.ndarray, "examples pos"],
) -> None:
    """Writes the activations of atlas windows `slots` into `rows`, and where they count.

    The window in slot s has its counted activations at x[firsts[s]:firsts[s + 1]], which stand
    at `positions` of its tokens. Both outputs come zeroed.
    """
    for i in range(slots.size):
        for j in range(firsts[slots[i]], firsts[slots[i] + 1]):
            rows[i, positions[j]] = x[j]
            is_counted[i, positions[j]] = True


def shuffled(keys: Any, is_eligible: Bool[np.ndarray, " n"]) -> Int32[np.ndarray, " eligible"]:
    """Eligible entries in the order of their keys."""
    order: np.ndarray = np.argsort(keys, kind="stable")
    eligible: np.ndarray = order[is_eligible[order]].astype(np.int32)
    return eligible
