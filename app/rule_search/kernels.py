"""A rule's figures for every unit, from the matched rows alone, compiled.

`search_range` sorts the entries of the matched rows by unit (a counting sort) and then walks each
unit's different levels once, with how many of its entries are at each and how many of those are
matched: from these follow all figures, exactly. A unit without any matched entry is answered in
closed form. Where more than half of the positions match, the rows given are those that do not, and
the difference is taken level by level. Ranges of units share nothing, so threads take one each.
Cost: two passes over the entries of the rows, 2 to 10 ns an entry each (short rows the
longer), and 2 to 5 ns a level of the units that are in them; a byte of memory for each entry.

Sums of activations are formed from integer sums of levels: exact but for float32's rounding of
single activations, which is left out. Nothing takes the interpreter's lock; arrays are read as they
are mapped. `app.rule_search.figures` says what the figures are, in the order of their rows here.
"""

from typing import NamedTuple, no_type_check

import numba
import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, UInt8, UInt16, UInt32

from app.atlas.kernels import jit, value_of
from app.atlas.opened import Totals
from app.atlas.scales import Scales
from app.atlas.unit_major import UnitMajor

_Figures = Float64[np.ndarray, "6 columns"]
_Scale = tuple[int, float, float, float, float]  # zero, up, down, low, high
AUROC, MCC, MASS, R2, PRECISION, RECALL = range(6)
N_LEVELS = 256


class Distribution(NamedTuple):
    """Levels of a unit within longer arrays: ascending, its entries at each; and the matched ones.

    hist     entries at each of 256 levels in the rows that were read
    is_rest  whether those rows are the ones that the rule does not match
    """

    kinds: UInt8[np.ndarray, " kinds"]
    counts: UInt32[np.ndarray, " kinds"]
    hist: Int64[np.ndarray, " 256"]
    is_rest: bool


@numba.njit(inline="always")
@no_type_check
def _ratio(part: float, whole: float) -> float:
    return part / whole if whole != 0 else np.nan


@numba.njit(inline="always")
@no_type_check
def _matched_at(found: Distribution, place: int) -> int:
    m = np.int64(found.hist[found.kinds[place]])
    return np.int64(found.counts[place]) - m if found.is_rest else m


@jit()
@no_type_check
def _walk(
    found: Distribution, first: int, last: int, zero: int, below: int
) -> tuple[int, int, int, int, int, int]:
    """Along the levels of one sign, ascending, with `below` unmatched positions below them.

    Returns twice the wins (and the ties) of matched over unmatched positions; how many are
    matched, how many in all; the sums of level − zero over both, and of its square over all.
    """
    wins = n_matched = n_all = steps = all_steps = squares = 0
    for i in range(first, last):
        offset, n = np.int64(found.kinds[i]) - zero, np.int64(found.counts[i])
        m = _matched_at(found, i)
        wins += m * (2 * (below + n_all - n_matched) + n - m)
        n_matched += m
        n_all += n
        steps += m * offset
        all_steps += n * offset
        squares += n * offset * offset
    return wins, n_matched, n_all, steps, all_steps, squares


@numba.njit(inline="always")
@no_type_check
def _moments(
    n: int, steps: int, squares: int, sign: int, step: float,
    n_extreme: int, n_steps: int, extreme: float,
) -> tuple[float, float]:  # fmt: skip
    """Sum and sum of squares of activations that are `sign` × half a level nearer to 0 than their
    levels say, but for those of the outermost level, `n_steps` away, which are `extreme`."""
    usual = (n_steps - sign * 0.5) * step
    total = (steps - sign * 0.5 * n) * step + n_extreme * (extreme - usual)
    square = (squares - sign * steps + 0.25 * n) * step * step
    return total, square + n_extreme * (extreme * extreme - usual * usual)


@jit()
@no_type_check
def _above(found: Distribution, first: int, last: int, cut: int) -> tuple[int, int]:
    """How many matched positions are above the level `cut`, and how many in all."""
    tp = fires = 0
    i = last - 1
    while i >= first and found.kinds[i] > cut:
        tp += _matched_at(found, i)
        fires += np.int64(found.counts[i])
        i -= 1
    return tp, fires


@jit()
@no_type_check
def _best_cut(found: Distribution, first: int, last: int, zero: int, n_matched: int, n: int) -> int:
    """The level, not below zero, above which firing has the greatest MCC; of equals the lowest."""
    best, cut = -np.inf, zero
    tp = fires = 0
    i = last - 1
    while i >= first and found.kinds[i] > zero:
        tp += _matched_at(found, i)
        fires += np.int64(found.counts[i])
        i -= 1
        below = max(np.int64(found.kinds[i]), zero) if i >= first else zero
        margin = np.float64(fires) * (n - fires)
        score = (np.float64(tp) * n - np.float64(fires) * n_matched) / np.sqrt(max(margin, 1.0))
        if margin > 0 and score >= best:
            best, cut = score, below
    return cut


@jit()
@no_type_check
def _confusion(tp: int, fires: int, n_matched: int, n: int, figures: _Figures, place: int) -> None:
    """MCC, precision and recall; NaN where a denominator is 0."""
    margins = np.sqrt(np.float64(fires) * (n - fires))
    margins *= np.sqrt(np.float64(n_matched) * (n - n_matched))
    mcc = _ratio(np.float64(tp) * n - np.float64(fires) * n_matched, margins)
    figures[MCC, place] = mcc if abs(mcc) <= 1 or np.isnan(mcc) else np.sign(mcc)

    figures[PRECISION, place] = _ratio(np.float64(tp), np.float64(fires))
    figures[RECALL, place] = _ratio(np.float64(tp), np.float64(n_matched))


@jit()
@no_type_check
def explained(
    total: float, part: float, squares: float, varies: bool, n_matched: int, n: int
) -> float:
    """R² of two conditional means, from the sums over all and over the matched positions."""
    n_rest = np.float64(n) - n_matched
    spread = squares * n - total * total
    if not varies or n_matched == 0 or n_rest == 0 or spread <= 0:
        return np.nan
    between = (part * n - total * n_matched) / np.sqrt(n_matched * n_rest)
    return min(between * between / spread, 1.0)


@numba.njit(inline="always")
@no_type_check
def _at_level(
    found: Distribution, place: int, first: int, last: int, level: int
) -> tuple[int, int]:
    """Matched and all entries of a level, where `place` has it within [first, last); else 0."""
    if place < first or place >= last or found.kinds[place] != level:
        return np.int64(0), np.int64(0)
    return _matched_at(found, place), np.int64(found.counts[place])


@jit()
@no_type_check
def _figures(
    found: Distribution, first: int, last: int, stored: int, n_stored: int, n_matched: int, n: int,
    scale: _Scale, cut: int, is_best: bool, figures: _Figures, place: int,
) -> tuple[int, int, int]:  # fmt: skip
    """All figures of one unit into a column of `figures`; its tp, how often it fires, its cut.

    stored, n_stored  its matched entries, and all
    n_matched, n      matched positions, and all
    scale             (zero, up, down, low, high) of the unit
    """
    zero, up, down, low, high = scale
    at_zero = first
    while at_zero < last and found.kinds[at_zero] < zero:
        at_zero += 1
    matched_zero, n_zero = _at_level(found, at_zero, first, last, zero)
    above = at_zero + (n_zero > 0)
    tied = n_matched - stored + matched_zero
    unmatched = n - n_stored + n_zero - tied
    wins, m0, n0, s0, a0, q0 = _walk(found, first, at_zero, zero, 0)
    below = n0 - m0 + unmatched
    more, m1, n1, s1, a1, q1 = _walk(found, above, last, zero, below)
    wins = np.float64(wins) + np.float64(tied) * (2 * (n0 - m0) + unmatched) + np.float64(more)
    figures[AUROC, place] = _ratio(wins, 2.0 * n_matched * (n - n_matched))

    top, all_top = _at_level(found, last - 1, above, last, 255)
    bottom, all_bottom = _at_level(found, first, first, at_zero, 0)
    mass, _ = _moments(m1, s1, 0, 1, up, top, 255 - zero, high)
    all_mass, all_squares = _moments(n1, a1, q1, 1, up, all_top, 255 - zero, high)
    under, _ = _moments(m0, s0, 0, -1, down, bottom, -zero, low)
    all_under, under_squares = _moments(n0, a0, q0, -1, down, all_bottom, -zero, low)
    figures[MASS, place] = _ratio(mass, all_mass)
    varies = n0 + n1 > 0 and not (n_stored == n and last - first == 1)
    figures[R2, place] = explained(
        all_mass + all_under, mass + under, all_squares + under_squares, varies, n_matched, n
    )
    if is_best:
        cut = _best_cut(found, above, last, zero, n_matched, n)
    tp, fires = m1, n1
    if cut != zero:
        tp, fires = _above(found, first, last, cut)
    _confusion(tp, fires, n_matched, n, figures, place)
    return tp, fires, cut


@jit()
@no_type_check
def _untouched(totals: Totals, unit: int, n_matched: int, n: int, figures: _Figures) -> int:
    """The figures at threshold 0 of a unit that is 0 wherever matched; how often it fires."""
    fires, n_negative = totals.n_positive[unit], totals.n_negative[unit]
    at_zero = n - n_matched - fires - n_negative
    wins = np.float64(n_matched) * (2 * n_negative + at_zero)
    figures[AUROC, unit] = _ratio(wins, 2.0 * n_matched * (n - n_matched))
    figures[MASS, unit] = _ratio(0.0, totals.mass[unit])
    figures[R2, unit] = explained(
        totals.sums[unit], 0.0, totals.squares[unit], fires + n_negative > 0, n_matched, n
    )
    _confusion(0, fires, n_matched, n, figures, unit)
    return fires


@jit()
@no_type_check
def _group(
    starts: Int64[np.ndarray, " positions_and_one"],
    units: UInt16[np.ndarray, " entries"] | UInt32[np.ndarray, " entries"],
    levels: UInt8[np.ndarray, " entries"],
    rows: Int64[np.ndarray, " rows"],
    first: int,
    end: int,
) -> tuple[UInt8[np.ndarray, " some"], Int64[np.ndarray, " units_and_one"]]:
    """The levels of the units [first, end) in the given rows, by unit, and where each unit's end.

    Rows are sorted by unit, so that a range's part of each is found by bisection.
    """
    begins, ends = np.empty(rows.size, np.int64), np.zeros(end - first + 1, np.int64)
    for i in range(rows.size):
        low, high = starts[rows[i]], starts[rows[i] + 1]
        row_end = high
        while low < high:
            middle = (low + high) // 2
            if units[middle] < first:
                low = middle + 1
            else:
                high = middle
        begins[i] = low
        while low < row_end and units[low] < end:
            ends[units[low] - first + 1] += 1
            low += 1
    for i in range(end - first):
        ends[i + 1] += ends[i]
    grouped = np.empty(ends[end - first], np.uint8)
    for i in range(rows.size):
        entry, row_end = begins[i], starts[rows[i] + 1]
        while entry < row_end and units[entry] < end:
            grouped[ends[units[entry] - first]] = levels[entry]
            ends[units[entry] - first] += 1
            entry += 1
    return grouped, ends


@jit()
@no_type_check
def search_range(
    starts: Int64[np.ndarray, " positions_and_one"],
    units: UInt16[np.ndarray, " entries"] | UInt32[np.ndarray, " entries"],
    levels: UInt8[np.ndarray, " entries"],
    by_unit: UnitMajor,
    scales: Scales,
    totals: Totals,
    rows: Int64[np.ndarray, " rows"],
    n_matched: int,
    is_rest: bool,
    asked: Bool[np.ndarray, " units"],
    cuts: UInt8[np.ndarray, " units"],
    is_best: bool,
    first: int,
    end: int,
    figures: Float64[np.ndarray, "6 units"],
    tp: Int32[np.ndarray, " units"],
    fires: Int32[np.ndarray, " units"],
) -> None:
    """Writes the figures of the units [first, end) that are asked for.

    rows  the matched rows, or where `is_rest` the others
    cuts  the level above which each unit fires; written where `is_best`
    """
    n = starts.size - 1
    grouped, ends = _group(starts, units, levels, rows, first, end)
    hist, begin = np.zeros(N_LEVELS, np.int64), 0
    found = Distribution(by_unit.kinds, by_unit.kind_counts, hist, is_rest)
    for unit in range(first, end):
        own = grouped[begin : ends[unit - first]]
        begin = ends[unit - first]
        zero = np.int64(scales.zeros[unit])
        if not asked[unit]:
            continue
        if own.size == 0 and not is_rest and not is_best and cuts[unit] == zero:
            fires[unit] = _untouched(totals, unit, n_matched, n, figures)
            continue
        for i in range(own.size):
            hist[own[i]] += 1
        scale = (zero, scales.ups[unit], scales.downs[unit],
                 np.float64(scales.lows[unit]), np.float64(scales.highs[unit]))  # fmt: skip
        n_stored = by_unit.starts[unit + 1] - by_unit.starts[unit]
        stored = n_stored - own.size if is_rest else own.size
        tp[unit], fires[unit], cuts[unit] = _figures(
            found, by_unit.kind_starts[unit], by_unit.kind_starts[unit + 1], stored, n_stored,
            n_matched, n, scale, np.int64(cuts[unit]), is_best, figures, unit,
        )  # fmt: skip
        for i in range(own.size):
            hist[own[i]] = 0


@jit()
@no_type_check
def cut_levels(threshold: float, scales: Scales, cuts: UInt8[np.ndarray, " units"]) -> None:
    """The greatest level of each unit that stands for no more than `threshold` (not below 0)."""
    for unit in range(cuts.size):
        zero = scales.zeros[unit]
        low, high = np.int64(zero), 256
        while high - low > 1:
            middle = (low + high) // 2
            value = value_of(
                np.uint8(middle), zero, scales.ups[unit], scales.downs[unit],
                scales.lows[unit], scales.highs[unit],
            )  # fmt: skip
            if np.float64(value) <= threshold:
                low = middle
            else:
                high = middle
        cuts[unit] = low


@jit()
@no_type_check
def replicate(
    positions: UInt32[np.ndarray, " entries"],
    levels: UInt8[np.ndarray, " entries"],
    blocks: Int32[np.ndarray, " positions"],
    is_matched: Bool[np.ndarray, " positions"],
    weights: UInt8[np.ndarray, "blocks replicates"],
    n_matched: Int64[np.ndarray, " replicates"],
    n: Int64[np.ndarray, " replicates"],
    scale: _Scale,
    cut: int,
    figures: Float64[np.ndarray, "6 replicates"],
) -> None:
    """One unit's figures in every replicate: each position as often as its block was drawn.

    Every entry adds a row of weights to its level's counts, so that its cost is that of adding
    `replicates` small integers.
    """
    n_replicates = n.size
    tally = np.zeros((2, N_LEVELS, n_replicates), np.int32)
    for i in range(positions.size):
        counts = tally[np.int64(is_matched[positions[i]]), levels[i]]
        drawn = weights[blocks[positions[i]]]
        for j in range(n_replicates):
            counts[j] += np.int32(drawn[j])
    kinds, counts = np.empty(N_LEVELS, np.uint8), np.empty(N_LEVELS, np.uint32)
    hist = np.zeros(N_LEVELS, np.int64)
    found = Distribution(kinds, counts, hist, False)
    for j in range(n_replicates):
        n_kinds, stored, n_stored = 0, 0, 0
        for level in range(N_LEVELS):
            hist[level] = tally[1, level, j]
            n_all = hist[level] + tally[0, level, j]
            if n_all > 0:
                kinds[n_kinds], counts[n_kinds] = level, n_all
                n_kinds += 1
            stored += hist[level]
            n_stored += n_all
        _figures(
            found, 0, n_kinds, stored, n_stored, n_matched[j], n[j], scale, cut, False, figures, j
        )  # fmt: skip
