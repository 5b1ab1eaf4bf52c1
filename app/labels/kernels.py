"""All rules of a library held against each unit in one pass over the unit's entries, compiled.

A unit's entries are walked once; each adds its activation to the sums of the rules that hold at its
position. From a rule's sums, its number of positions and the unit's totals follow R², mass
explained, precision and recall, as app.rule_search.figures defines them. The sums of all rules lie
side by side and fit the nearest cache, so an entry costs about a nanosecond for each rule that
holds there. Nothing takes the interpreter's lock; ranges of units share nothing.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt16

from app.atlas.kernels import jit, value_of
from app.atlas.opened import Totals
from app.atlas.scales import Scales
from app.atlas.unit_major import UnitMajor
from app.rule_search.kernels import explained

R2, MASS, PRECISION, RECALL = range(4)
ABOVE, BELOW, FIRES = range(3)  # columns of a rule's sums
N_SUMS = 4  # of which one is room, so that a rule's are in one line of the cache
N_LEVELS = 256


@jit()
@no_type_check
def _values(scales: Scales, unit: int, values: Float64[np.ndarray, " 256"]) -> None:
    """The activation of each level of a unit."""
    zero, up, down = scales.zeros[unit], scales.ups[unit], scales.downs[unit]
    low, high = scales.lows[unit], scales.highs[unit]
    for level in range(N_LEVELS):
        values[level] = np.float64(value_of(np.uint8(level), zero, up, down, low, high))


@jit()
@no_type_check
def _sum_up(
    by_unit: UnitMajor,
    starts: Int64[np.ndarray, " positions_and_one"],
    holding: UInt16[np.ndarray, " holding"],
    unit: int,
    zero: int,
    values: Float64[np.ndarray, " 256"],
    sums: Float64[np.ndarray, "rules 4"],
) -> None:
    """Adds a unit's entries to the sums of the rules: of what is above 0, of what is below, and
    how many are above."""
    for entry in range(by_unit.starts[unit], by_unit.starts[unit + 1]):
        position = by_unit.positions[entry]
        level = by_unit.levels[entry]
        value = values[level]
        if level > zero:
            for i in range(starts[position], starts[position + 1]):
                sums[holding[i], ABOVE] += value
                sums[holding[i], FIRES] += 1
        elif level < zero:
            for i in range(starts[position], starts[position + 1]):
                sums[holding[i], BELOW] += value


@jit()
@no_type_check
def _share(part: float, whole: float) -> float:
    return part / whole if whole != 0 else np.nan


@jit()
@no_type_check
def _r2(
    totals: Totals, unit: int, varies: bool, part: float, n_matched: int, n: int
) -> tuple[float, bool]:
    """R² of a unit and a rule, and whether the unit's mean is greater where the rule holds."""
    total = totals.sums[unit]
    r2 = explained(total, part, totals.squares[unit], varies, n_matched, n)
    return r2, part * n > total * n_matched


@jit()
@no_type_check
def label_range(
    by_unit: UnitMajor,
    scales: Scales,
    totals: Totals,
    varies: Bool[np.ndarray, " units"],
    n_matched: Int64[np.ndarray, " rules"],
    starts: Int64[np.ndarray, " positions_and_one"],
    holding: UInt16[np.ndarray, " holding"],
    n_least: int,
    first: int,
    end: int,
    best: Int64[np.ndarray, " units"],
    figures: Float64[np.ndarray, "4 units"],
) -> None:
    """For the units [first, end) with at least `n_least` entries above 0, the place of the rule of
    greatest R² among those where the unit's mean is greater than elsewhere, the first of equals,
    and its figures. Others are left as they are."""
    n = starts.size - 1
    sums, values = np.zeros((n_matched.size, N_SUMS)), np.empty(N_LEVELS)
    for unit in range(first, end):
        if totals.n_positive[unit] < n_least:
            continue
        _values(scales, unit, values)
        sums[:] = 0
        _sum_up(by_unit, starts, holding, unit, scales.zeros[unit], values, sums)
        greatest, chosen = -1.0, -1
        for rule in range(n_matched.size):
            part = sums[rule, ABOVE] + sums[rule, BELOW]
            r2, is_more = _r2(totals, unit, varies[unit], part, n_matched[rule], n)
            if is_more and r2 > greatest:
                greatest, chosen = r2, rule
        if chosen >= 0:
            best[unit] = chosen
            figures[R2, unit] = greatest
            figures[MASS, unit] = _share(sums[chosen, ABOVE], totals.mass[unit])
            fires = sums[chosen, FIRES]
            figures[PRECISION, unit] = _share(fires, np.float64(totals.n_positive[unit]))
            figures[RECALL, unit] = _share(fires, np.float64(n_matched[chosen]))


@jit()
@no_type_check
def r2_of_rules(
    by_unit: UnitMajor,
    scales: Scales,
    totals: Totals,
    varies: bool,
    n_matched: Int64[np.ndarray, " rules"],
    starts: Int64[np.ndarray, " positions_and_one"],
    holding: UInt16[np.ndarray, " holding"],
    unit: int,
    found: Float64[np.ndarray, " rules"],
) -> None:
    """One unit's R² by every rule; NaN where its mean is not greater where the rule holds."""
    n = starts.size - 1
    sums, values = np.zeros((n_matched.size, N_SUMS)), np.empty(N_LEVELS)
    _values(scales, unit, values)
    _sum_up(by_unit, starts, holding, unit, scales.zeros[unit], values, sums)
    for rule in range(n_matched.size):
        part = sums[rule, ABOVE] + sums[rule, BELOW]
        r2, is_more = _r2(totals, unit, varies, part, n_matched[rule], n)
        found[rule] = r2 if is_more else np.nan
