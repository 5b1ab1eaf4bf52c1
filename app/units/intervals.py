"""The bands of a unit's activation between two quantiles of the atlas."""

from collections.abc import Sequence
from itertools import pairwise

from app.units.schemas import Interval


def intervals_of(
    edges: Sequence[float], counts: Sequence[int], mass: Sequence[float]
) -> list[Interval]:
    """The bands between `edges` with their shares of positions and of mass."""
    n_positions, total = sum(counts), sum(mass)
    return [
        Interval(
            index=i,
            low=low,
            high=high,
            share_of_positions=counts[i] / n_positions if n_positions else 0.0,
            share_of_mass=mass[i] / total if total > 0 else 0.0,
        )
        for i, (low, high) in enumerate(pairwise(edges))
    ]
