"""What every unit of some atlases has to do with a rule: definitions, and the counting in threads.

A rule is the positions where it holds, `matched`. Over all positions of an atlas, with the
activation a as it is stored (8 bits; what is nearer to 0 than a unit's floor is not stored and
counts as 0, so a dense neuron "fires" where it is stored above the threshold), and m whether the
rule holds:

- auroc: the probability that a is greater at a matched position than at an unmatched one, ties
  counting half. Negative activations are below 0. NaN where the rule holds nowhere or everywhere.
- mcc, precision, recall: of "a > threshold" as a guess of m (Matthews' correlation). NaN where a
  denominator is 0: an mcc needs a unit that fires here and not there.
- mass_explained: Σ max(a, 0)·m / Σ max(a, 0). NaN where the unit is never above 0.
- r2: the share of a's variance that its two conditional means account for; with two groups that is
  the square of the correlation of a and m. NaN where a or m is constant.

The threshold is an activation of at least 0, or "best": for each unit the one of its levels that
gives the greatest mcc (chosen with the rule in hand: an mcc so found flatters).

All units are counted exactly; app.rule_search.kernels says how and at what cost.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, UInt8

from app.atlas.opened import OpenAtlas
from app.errors import InvalidInput

Figure = Literal["auroc", "mcc", "mass_explained", "r2", "precision", "recall"]
FIGURES: tuple[Figure, ...] = get_args(Figure)  # the rows of `UnitFigures.values`
USUAL_SORT: Figure = "mcc"  # see docs/decisions/0021
Threshold = float | Literal["best"]
Matched = Int64[np.ndarray, " matched"]

RANGE_UNITS = 2**18  # whose counters fit a cache; each range reads all the rows again
RANGE_ENTRIES = 16 * 2**20  # a byte each
LEVEL_SHARE = 64  # levels walked a unit, as its part of a range's work beside its entries


class Confusion(NamedTuple):
    """Positions: firing and matched, firing and not, not firing though matched, and neither."""

    tp: int
    fp: int
    fn: int
    tn: int


@dataclass(frozen=True, eq=False)
class UnitFigures:
    """One atlas's figures; of units not asked for NaN, and counts of 0.

    values  a row for each of FIGURES
    tp      matched positions where a unit fires
    fires   positions where it does
    cuts    the level above which it fires
    """

    atlas: OpenAtlas
    n_matched: int
    values: Float64[np.ndarray, "6 units"]
    tp: Int32[np.ndarray, " units"]
    fires: Int32[np.ndarray, " units"]
    cuts: UInt8[np.ndarray, " units"]

    def of(self, figure: Figure) -> Float64[np.ndarray, " units"]:
        """One figure of all units."""
        row: np.ndarray = self.values[FIGURES.index(figure)]
        return row

    def confusion(self, unit: int) -> Confusion:
        """The counts of one unit."""
        tp, fires, n = int(self.tp[unit]), int(self.fires[unit]), self.atlas.n_positions
        fn = self.n_matched - tp
        return Confusion(tp, fires - tp, fn, n - fires - fn)

    def threshold(self, unit: int) -> float:
        """The activation above which it fires: that of its cut."""
        return float(self.atlas.values_of(unit)[self.cuts[unit]])


def figures(
    atlases: Sequence[OpenAtlas],
    matched: Matched,
    asked: Sequence[Bool[np.ndarray, " units"] | None] | None = None,
    threshold: Threshold = 0.0,
) -> list[UnitFigures]:
    """The figures of all units of atlases of the same positions, or of those asked for.

    matched  ascending, without repetition, each a position of the atlases
    Raises InvalidInput for a threshold that is below 0 or not finite.
    """
    masks = asked or [None] * len(atlases)
    rows, is_rest = _fewer(matched, atlases[0].n_positions if atlases else 0)
    found = []
    running: list[Future[None]] = []
    for atlas, mask in zip(atlases, masks, strict=True):
        of_atlas = _blank(atlas, len(matched), threshold)
        found.append(of_atlas)
        running += _start(of_atlas, rows, is_rest, mask, threshold == "best")
    for task in running:
        task.result()
    return found


@lru_cache(maxsize=1)
def pool() -> ThreadPoolExecutor:
    """Threads for kernels, one a core that this process may use."""
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)), "rule-search")


def cuts_at(atlas: OpenAtlas, threshold: Threshold) -> UInt8[np.ndarray, " units"]:
    """The level above which each unit is above the threshold; for "best" that of 0."""
    from app.rule_search.kernels import cut_levels

    if threshold in ("best", 0):
        return atlas.scales.zeros.copy()
    value = float(threshold)
    if not (np.isfinite(value) and value >= 0):
        raise InvalidInput(f"The threshold is {threshold}; it should be a number from 0 on.")
    cuts = np.empty(atlas.n_units, np.uint8)
    cut_levels(value, atlas.scales, cuts)
    return cuts


def _blank(atlas: OpenAtlas, n_matched: int, threshold: Threshold) -> UnitFigures:
    n_units = atlas.n_units
    return UnitFigures(
        atlas,
        n_matched,
        np.full((len(FIGURES), n_units), np.nan),
        np.zeros(n_units, np.int32),
        np.zeros(n_units, np.int32),
        cuts_at(atlas, threshold),
    )


def _fewer(matched: Matched, n: int) -> tuple[Matched, bool]:
    """The matched positions, or the others where those are fewer; and which."""
    assert len(matched) == 0 or (matched[0] >= 0 and matched[-1] < n)
    if 2 * len(matched) <= n:
        return np.ascontiguousarray(matched, np.int64), False
    is_other = np.ones(n, bool)
    is_other[matched] = False
    return np.flatnonzero(is_other), True


def _start(
    into: UnitFigures, rows: Matched, is_rest: bool, mask: np.ndarray | None, is_best: bool
) -> list[Future[None]]:
    """Sets threads to work on ranges of units of about equal cost."""
    from app.rule_search.kernels import search_range

    search: Callable[..., None] = search_range
    atlas = into.atlas
    asked = np.ones(atlas.n_units, bool) if mask is None else mask
    given = (
        atlas.starts, atlas.units, atlas.levels, atlas.by_unit, atlas.scales, atlas.totals,
        rows, into.n_matched, is_rest, asked, into.cuts, is_best,
    )  # fmt: skip
    ends = _ends(atlas, int((atlas.starts[rows + 1] - atlas.starts[rows]).sum()), asked)
    return [
        pool().submit(search, *given, first, end, into.values, into.tp, into.fires)
        for first, end in pairwise(ends)
        if first < end
    ]


def _ends(atlas: OpenAtlas, n_entries: int, asked: Bool[np.ndarray, " units"]) -> list[int]:
    """Bounds of ranges that hold all units asked for: at least one a thread, none beyond
    RANGE_UNITS or RANGE_ENTRIES on average."""
    places = np.flatnonzero(asked)
    if len(places) == 0:
        return []
    first, end = int(places[0]), int(places[-1]) + 1
    n_ranges = max(
        -(-(end - first) // RANGE_UNITS), -(-n_entries // RANGE_ENTRIES), pool()._max_workers
    )
    work = atlas.by_unit.starts[first : end + 1] + np.arange(end - first + 1) * LEVEL_SHARE
    steps = np.arange(1, n_ranges) * ((work[-1] - work[0]) / n_ranges)
    return [first, *(first + np.searchsorted(work - work[0], steps)).tolist(), end]
