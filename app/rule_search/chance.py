"""What the best of so many units reaches by chance.

The rule is moved along the atlas, as a ring, by the length of its first few documents (drawn with a
fixed seed), and all units are searched again, with the same filters; the greatest figure that any
of them reaches there is noted. Moved, the rule matches as many positions, clustered as before, and
every unit fires as it did: only that they have to do with each other is broken. So the greatest of
all units under a moved rule is a draw from what the best of so many units would be by chance,
whatever their number, their densities and their likeness to one another, and without a formula.

A figure at or below these draws says nothing; one well above them is not the luck of looking at
many. There are few draws (each costs a search), so no probability is computed from them. A rule
that matches by the place in a window alone (its first tokens) matches there when it is moved, too,
where windows have one length: its draws are then as good as the real figure, and rightly warn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, Int64

from app.atlas.opened import OpenAtlas
from app.rule_search.figures import USUAL_SORT, Figure, Matched, Threshold, figures

N_SHIFTS = 3
SEED = 0


@dataclass(frozen=True)
class Chance:
    """The greatest figure of any unit under each moved rule; none where there is one document."""

    best: tuple[float, ...]

    @property
    def reached(self) -> float | None:
        """The greatest of all."""
        return max(self.best, default=None)


def chance(
    atlases: Sequence[OpenAtlas],
    matched: Matched,
    documents: Int32[np.ndarray, " positions"],
    asked: Sequence[Bool[np.ndarray, " units"] | None] | None = None,
    *,
    sort: Figure = USUAL_SORT,
    threshold: Threshold = 0.0,
    n_shifts: int = N_SHIFTS,
) -> Chance:
    """Searches again under at most `n_shifts` different moves; as long as each search."""
    best = []
    for shift in shifts(documents, n_shifts):
        moved = np.sort((matched + shift) % len(documents))
        found = [each.of(sort) for each in figures(atlases, moved, asked, threshold)]
        known = [float(np.nanmax(values)) for values in found if not np.isnan(values).all()]
        if known:
            best.append(max(known))
    return Chance(tuple(best))


def shifts(
    documents: Int32[np.ndarray, " positions"], n_shifts: int
) -> Int64[np.ndarray, " shifts"]:
    """Distances from the first position to the start of another document, without repetition."""
    firsts = np.flatnonzero(documents[1:] != documents[:-1]) + 1
    rng = np.random.default_rng(SEED)
    return rng.choice(firsts, min(n_shifts, len(firsts)), replace=False)
