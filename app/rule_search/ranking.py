"""Units ranked by how well they follow a rule, those shown with intervals.

Filters come before the top. Of equal units the first in the order of the sources, then of units, is
first; those whose figure cannot be said (NaN) are last, in the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from app.atlas.opened import OpenAtlas
from app.errors import InvalidInput
from app.rule_search.figures import (
    FIGURES,
    USUAL_SORT,
    Confusion,
    Figure,
    Matched,
    Threshold,
    UnitFigures,
    figures,
)
from app.rule_search.intervals import draw, intervals


@dataclass(frozen=True, eq=False)
class Searched:
    """An atlas to search, and what of it: where `mask` (None: all) and density allow.

    densities  each unit's, for `Filters`; a unit whose density is NaN passes no bound
    """

    atlas: OpenAtlas
    mask: Bool[np.ndarray, " units"] | None = None
    densities: Float64[np.ndarray, " units"] | None = None

    def asked(
        self, min_density: float | None, max_density: float | None
    ) -> Bool[np.ndarray, " units"]:
        """The units that pass all filters."""
        asked = np.ones(self.atlas.n_units, bool) if self.mask is None else self.mask.copy()
        for bound, compare in ((min_density, np.greater_equal), (max_density, np.less_equal)):
            if bound is not None:
                assert self.densities is not None
                asked &= compare(self.densities, bound)
        return asked


@dataclass(frozen=True)
class Ranked:
    """One unit. NaN became None.

    source     its place in the list that was searched
    threshold  the activation above which it counts as firing
    intervals  95%, as app.rule_search.intervals has them; empty where not asked for
    """

    source: int
    unit: int
    threshold: float
    confusion: Confusion
    values: dict[Figure, float | None]
    intervals: dict[Figure, tuple[float, float] | None]


@dataclass(frozen=True)
class Ranking:
    """The best, and out of how many.

    n_units    units that were compared: all that passed the filters
    n_defined  those of which the figure can be said
    """

    items: list[Ranked]
    n_units: int
    n_defined: int
    n_positions: int
    n_matched: int


def search(
    sources: Sequence[Searched],
    matched: Matched,
    documents: Int32[np.ndarray, " positions"],
    *,
    sort: Figure = USUAL_SORT,
    limit: int = 20,
    threshold: Threshold = 0.0,
    min_density: float | None = None,
    max_density: float | None = None,
    with_intervals: bool = True,
) -> Ranking:
    """The `limit` best units of sources of the same positions.

    Raises InvalidInput for a figure or a threshold that is none.
    """
    if sort not in FIGURES:
        raise InvalidInput(f"Units are not sorted by {sort!r}, but by {', '.join(FIGURES)}.")
    assert all(source.atlas.n_positions == len(documents) for source in sources)
    asked = [source.asked(min_density, max_density) for source in sources]
    found = figures([source.atlas for source in sources], matched, asked, threshold)
    keys = [each.of(sort) for each in found]
    places = top(keys, asked, limit)
    bounds: list[np.ndarray | None] = [None] * len(places)
    if with_intervals and places:
        of_units = [(found[i].atlas, unit, int(found[i].cuts[unit])) for i, unit in places]
        bounds = [*intervals(of_units, draw(matched, documents))]
    items = [ranked(found[i], i, u, b) for (i, u), b in zip(places, bounds, strict=True)]
    n_defined = sum(int((~np.isnan(key)).sum()) for key in keys)
    n_units = sum(int(each.sum()) for each in asked)
    return Ranking(items, n_units, n_defined, len(documents), len(matched))


def top(
    keys: Sequence[Float64[np.ndarray, " units"]],
    asked: Sequence[Bool[np.ndarray, " units"]],
    limit: int,
) -> list[tuple[int, int]]:
    """(source, unit) of the greatest keys of units that are asked for; NaN last."""
    flat = np.concatenate([*keys, np.zeros(0)])
    is_asked = np.concatenate([*asked, np.zeros(0, bool)])
    known = np.flatnonzero(is_asked & ~np.isnan(flat))
    best = _greatest(flat, known, min(limit, len(known)))
    if len(best) < limit:
        unknown = np.flatnonzero(is_asked & np.isnan(flat))
        best = np.concatenate([best, unknown[: limit - len(best)]])
    firsts = np.cumsum([0, *(len(each) for each in keys)])
    sources = np.searchsorted(firsts, best, side="right") - 1
    return [*zip(sources.tolist(), (best - firsts[sources]).tolist(), strict=True)]


class Place(NamedTuple):
    """Where a unit stands: 1 + how many units are better, and how many have its figure, itself
    among them."""

    place: int
    n_equal: int


def rank(
    keys: Sequence[Float64[np.ndarray, " units"]],
    asked: Sequence[Bool[np.ndarray, " units"]],
    source: int,
    unit: int,
) -> Place | None:
    """A unit's place among those asked for, itself one of them; None where its figure is NaN."""
    own = keys[source][unit]
    if np.isnan(own):
        return None
    known = [key[mask] for key, mask in zip(keys, asked, strict=True)]
    n_better = sum(int((key > own).sum()) for key in known)
    return Place(1 + n_better, sum(int((key == own).sum()) for key in known))


def ranked(
    found: UnitFigures, source: int, unit: int, bounds: Float64[np.ndarray, "6 2"] | None = None
) -> Ranked:
    """One unit's figures in words of a report."""
    values = found.values[:, unit].tolist()
    return Ranked(
        source,
        unit,
        found.threshold(unit),
        found.confusion(unit),
        {name: _known(value) for name, value in zip(FIGURES, values, strict=True)},
        {} if bounds is None else _known_bounds(bounds),
    )


def _greatest(
    flat: Float64[np.ndarray, " n"], known: Int64[np.ndarray, " known"], k: int
) -> Int64[np.ndarray, " k"]:
    if k <= 0:
        return known[:0]
    values = flat[known]
    least = np.partition(values, len(values) - k)[len(values) - k]
    best = known[values >= least]
    chosen: np.ndarray = best[np.argsort(-flat[best], kind="stable")][:k]
    return chosen


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _known_bounds(
    bounds: Float64[np.ndarray, "6 2"],
) -> dict[Figure, tuple[float, float] | None]:
    return {
        name: None if np.isnan(low) else (low, high)
        for name, (low, high) in zip(FIGURES, bounds.tolist(), strict=True)
    }
