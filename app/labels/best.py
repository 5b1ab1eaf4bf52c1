"""Each unit's best rule of a library, and where a typed rule stands among them.

The best is the one that explains most of the unit's variance (R²) among rules under which its mean
is greater than elsewhere; of equals the first in the library.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from app.atlas.opened import OpenAtlas
from app.labels.library import Library
from app.rule_search.figures import pool
from app.rules.language import AnyRule

MIN_POSITIVE = 20
"""A unit with fewer stored positions above 0 gets no label: so few fit some rule by chance."""
MIN_EXPLAINED = 0.2
"""A unit whose best rule explains a smaller share of its variance counts as unexplained."""
RANGES_A_THREAD = 8
ROUNDING = 1e-6
"""Two R² that differ by a smaller share are one: they were summed in another order."""


@dataclass(frozen=True, eq=False)
class BestRules:
    """For every unit, the place of its best rule in the library, and that rule's figures.

    best  -1 and figures of NaN where there is none: the unit is too rare in the sample, or its mean
          is nowhere greater
    """

    best: Int64[np.ndarray, " units"]
    r2: Float64[np.ndarray, " units"]
    mass_explained: Float64[np.ndarray, " units"]
    precision: Float64[np.ndarray, " units"]
    recall: Float64[np.ndarray, " units"]


class LibraryPlace(NamedTuple):
    """Where an R² stands among those of all rules of the library; 1: none explains more.

    best, best_r2  the library's own best; None where no rule of it has the unit's mean greater
    """

    place: int
    n_rules: int
    best: AnyRule | None
    best_r2: float | None


def best_rules(atlas: OpenAtlas, library: Library, n_least: int = MIN_POSITIVE) -> BestRules:
    """The best rules of all units; some 20 ns an entry of the atlas."""
    from app.labels.kernels import label_range

    label: Callable[..., None] = label_range
    assert atlas.n_positions == library.n_positions
    best, figures = np.full(atlas.n_units, -1), np.full((4, atlas.n_units), np.nan)
    given = (
        atlas.by_unit, atlas.scales, atlas.totals, atlas.moments.varies,
        library.n_matched, library.starts, library.holding, n_least,
    )  # fmt: skip
    running = [
        pool().submit(label, *given, first, end, best, figures)
        for first, end in pairwise(_ends(atlas))
        if first < end
    ]
    for task in running:
        task.result()
    return BestRules(best, *figures)


def library_rank(atlas: OpenAtlas, unit: int, library: Library, r2: float) -> LibraryPlace:
    """Where a rule that explains `r2` of a unit stands among the library's."""
    from app.labels.kernels import r2_of_rules

    found = np.full(len(library.rules), np.nan)
    r2_of_rules(
        atlas.by_unit, atlas.scales, atlas.totals, atlas.moments.varies[unit],
        library.n_matched, library.starts, library.holding, unit, found,
    )  # fmt: skip
    place, n_rules = 1 + int((found > r2 * (1 + ROUNDING)).sum()), len(library.rules)
    if np.isnan(found).all():
        return LibraryPlace(place, n_rules, None, None)
    best = int(np.nanargmax(found))
    return LibraryPlace(place, n_rules, library.rules[best], float(found[best]))


def _ends(atlas: OpenAtlas) -> list[int]:
    """Bounds of ranges of units with about as many entries each, several a thread."""
    n_ranges = pool()._max_workers * RANGES_A_THREAD
    starts = atlas.by_unit.starts
    steps = np.linspace(0, int(starts[-1]), n_ranges + 1)[1:-1]
    return [0, *np.searchsorted(starts[:-1], steps).tolist(), atlas.n_units]
