"""The bands of a unit's activation between two quantiles of the atlas."""

from collections.abc import Sequence
from itertools import pairwise

from app.units.schemas import Interval


def intervals_of(
    edges: Sequence[float],
    counts: Sequence[int],
    mass: Sequence[float],
    share_errors: Sequence[float],
    mass_errors: Sequence[float],
) -> list[Interval]:
    """The bands between `edges` with their shares of positions and of mass.

    The errors, one a band, may be empty: then there is none to tell.
    """
    n_positions, total = sum(counts), sum(mass)
    return [
        Interval(
            index=i,
            low=low,
            high=high,
            share_of_positions=counts[i] / n_positions if n_positions else 0.0,
            share_of_positions_error=share_errors[i] if share_errors else None,
            share_of_mass=mass[i] / total if total > 0 else 0.0,
            share_of_mass_error=mass_errors[i] if mass_errors else None,
        )
        for i, (low, high) in enumerate(pairwise(edges))
    ]
