"""From one unit's activations over the atlas: histogram, intervals, tokens.

`histogram` and `intervals` take the activations sorted; both cover every position exactly once,
since their edges are float32 values that the counting itself uses. Examples: workers.kernels.draws.

Cost: a sort of the unit's activations, and a few passes over them.
"""

from typing import Any, NamedTuple, no_type_check

import numba
import numpy as np
from jaxtyping import Float, Float32, Int32, Int64

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


class Active(NamedTuple):
    """What is not 0 of some units, by unit, then position: unit i has starts[i]:starts[i + 1]."""

    starts: Int64[np.ndarray, " units_and_one"]
    positions: Int32[np.ndarray, " entries"]
    values: Float32[np.ndarray, " entries"]

    def of(self, unit: int) -> tuple[Int32[np.ndarray, " some"], Float32[np.ndarray, " some"]]:
        """One unit's positions, ascending, and values."""
        some = slice(self.starts[unit], self.starts[unit + 1])
        return self.positions[some], self.values[some]


def find_active(x: Float32[np.ndarray, "units n"]) -> Active:
    """All activations that are not 0."""
    n_units, n = x.shape
    flat = np.flatnonzero(x != 0)  # quick where most are
    units, positions = np.divmod(flat, max(n, 1))
    starts = np.searchsorted(units, np.arange(n_units + 1))
    return Active(starts, positions.astype(np.int32), x.ravel()[flat])


def sort_active(active: Active, n: int) -> Float32[np.ndarray, "units n"]:
    """`np.sort(x, axis=1)` of the activations that `active` was found in, n a unit."""
    n_units = len(active.starts) - 1
    ordered = np.zeros((n_units, n), np.float32)
    for unit in range(n_units):
        found = np.sort(active.of(unit)[1])
        n_below = int(np.searchsorted(found, _ZERO))
        ordered[unit, :n_below] = found[:n_below]
        ordered[unit, n - (len(found) - n_below) :] = found[n_below:]
    return ordered


def positive_sum(ordered: Float[np.ndarray, " n"]) -> float:
    """The sum of what is above 0; `ordered` ascends."""
    return float(ordered[np.searchsorted(ordered, _ZERO, "right") :].sum(dtype=np.float64))


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

    `token_slots` numbers the atlas's tokens by ascending id; ties go to the smaller. Positions of 0
    may be left out of it and of `x`.
    """
    all_sums, all_active = np.zeros(n_slots), np.zeros(n_slots, np.int32)
    for i in range(x.size):  # without a branch, which would be guessed wrong half of the time
        all_sums[token_slots[i]] += max(x[i], np.float32(0))
        all_active[token_slots[i]] += x[i] > 0
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
