"""Units like a given one: by what they do over an atlas, and by where they write.

By activation: Pearson's correlation over all positions of two atlases of the same windows, exact
for what is stored (quantised; below a unit's floor 0). Σ xy is gathered from the rows where the
unit is active (`OpenAtlas.of_unit`), since elsewhere x = 0; means and variances come from
`OpenAtlas.moments`. Cost: about 3 ns for each entry of those rows. A unit of zero variance has no
correlation.

By direction: cosine of the stored directions. A unit of no direction (length 0) has no cosine. The
products are einsum's and not BLAS's, whose threads wait for each other: six times as long on a
busy machine, and no shorter on an idle one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32, Int64

from app.atlas.opened import BLOCK, OpenAtlas, OpenDirections
from app.atlas.recent import Recent

MAX_NEIGHBOURS = 500
MAX_ANSWERS = 1024

_Question = tuple[str, str, int, int | None, tuple[str, ...]]


@dataclass(frozen=True)
class Nearest:
    """The nearest units, nearest first; of equal ones the first in the order of the sources.

    sources  places in the list that was compared
    n_units  units compared, itself and those without a value left out
    """

    sources: Int32[np.ndarray, " k"]
    indices: Int32[np.ndarray, " k"]
    values: Float64[np.ndarray, " k"]
    n_units: int


_answers: Recent[_Question, Nearest] = Recent(MAX_ANSWERS)


def by_activation(
    own: OpenAtlas, unit: int, others: Sequence[OpenAtlas], place: int | None
) -> Nearest:
    """The units of `others` that correlate most with `unit`. All have own's positions.

    place  where own stands in `others`, that the unit be left out; None where it does not
    """
    question = ("activation", own.key, unit, place, tuple(each.key for each in others))
    if (answer := _answers.get(question)) is None:
        answer = nearest(correlations(own, unit, others), place, unit)
        _answers.put(question, answer)
    return answer


def by_direction(
    own: OpenDirections, unit: int, others: Sequence[OpenDirections], place: int | None
) -> Nearest:
    """The units of `others` whose direction has the greatest cosine with that of `unit`."""
    question = ("direction", own.key, unit, place, tuple(each.key for each in others))
    if (answer := _answers.get(question)) is None:
        answer = nearest([cosines(own, unit, each) for each in others], place, unit)
        _answers.put(question, answer)
    return answer


def correlations(
    own: OpenAtlas, unit: int, others: Sequence[OpenAtlas]
) -> list[Float64[np.ndarray, " units"]]:
    """Pearson's correlation of `unit` with every unit of each atlas; NaN where there is none."""
    if not own.moments.varies[unit]:
        return [np.full(other.n_units, np.nan) for other in others]
    positions, values = own.of_unit(unit)
    rows, weights = positions.astype(np.int64), values.astype(np.float64)
    return [_correlation(own, unit, rows, weights, other) for other in others]


def cosines(own: OpenDirections, unit: int, other: OpenDirections) -> Float64[np.ndarray, " units"]:
    """Cosine of the direction of `unit` with each of `other`, in float32; NaN where one is 0."""
    vector = own.vectors[unit].astype(np.float32)
    products = np.empty(other.n_units, np.float32)
    for at in range(0, other.n_units, BLOCK):
        block = other.vectors[at : at + BLOCK].astype(np.float32)
        np.einsum("ij,j->i", block, vector, out=products[at : at + BLOCK])
    lengths = other.norms * own.norms[unit]
    values = np.full(other.n_units, np.nan)
    np.divide(products, lengths, out=values, where=lengths > 0)
    clipped: np.ndarray = np.clip(values, -1, 1)
    return clipped


def nearest(
    values: Sequence[Float64[np.ndarray, " units"]], place: int | None, unit: int
) -> Nearest:
    """The greatest of all values but NaN, and but that of `unit` in the list at `place`."""
    sizes = [len(each) for each in values]
    flat = np.concatenate([*values, np.zeros(0)])
    if place is not None:
        flat[sum(sizes[:place]) + unit] = np.nan
    known = np.flatnonzero(~np.isnan(flat))
    k = min(MAX_NEIGHBOURS, len(known))
    if k == 0:
        return Nearest(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0), 0)
    least = np.partition(flat[known], len(known) - k)[len(known) - k]
    best = known[flat[known] >= least]
    best = best[np.argsort(-flat[best], kind="stable")][:k]
    firsts = np.cumsum([0, *sizes])
    sources = np.searchsorted(firsts, best, side="right") - 1
    indices = best - firsts[sources]
    return Nearest(sources.astype(np.int32), indices.astype(np.int32), flat[best], len(known))


def _correlation(
    own: OpenAtlas,
    unit: int,
    rows: Int64[np.ndarray, " rows"],
    weights: Float64[np.ndarray, " rows"],
    other: OpenAtlas,
) -> Float64[np.ndarray, " units"]:
    from app.atlas.kernels import add_products

    products = np.zeros(other.n_units)
    add_products(
        other.starts, other.units, other.levels, *other.scales, rows, weights, products
    )  # fmt: skip
    mine, theirs = own.moments, other.moments
    covariances = products / own.n_positions - mine.means[unit] * theirs.means
    values = np.full(other.n_units, np.nan)
    np.divide(covariances, mine.stds[unit] * theirs.stds, out=values, where=theirs.varies)
    clipped: np.ndarray = np.clip(values, -1, 1)
    return clipped
