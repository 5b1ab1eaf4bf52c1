"""How far a band's shares, taken from the atlas's sample, may be from those of the whole corpus.

Tokens of one document are alike, so documents, not tokens, are what was drawn (Cochran, Sampling
Techniques, 3rd ed., 6.3 and 9A.2: a ratio estimated from clusters). For a share p = Σc / Σn, with
c and n of each document d:

    SE² = D / (D − 1) · Σ (c_d − p · n_d)² / (Σn)² · (1 − sampled share of the corpus)

Cost: a pass over the activations for each band, sixteen at a time, and one over documents × bands.
"""

from typing import Any, NamedTuple, no_type_check

import numba
import numpy as np
from jaxtyping import Float, Int64

_EMPTY = np.zeros(0, np.float32)


class BandErrors(NamedTuple):
    """Standard errors of each band's share of positions and of mass; empty where there are none."""

    shares: Float[np.ndarray, " bands"]
    mass: Float[np.ndarray, " bands"]


def band_errors(
    x: Float[np.ndarray, " n"],
    edges: Float[np.ndarray, " edges"],
    firsts: Int64[np.ndarray, " documents_and_one"],
    share_sampled: float,
    n_zeros: Int64[np.ndarray, " documents"] | None = None,
) -> BandErrors:
    """Errors of bands [edge, next edge) of the activations `x`, those of document d from firsts[d].

    Positions of 0 may be left out of `x` and `firsts`; then `n_zeros` says how many were.
    Empty where one document says nothing of others, and where the sample is the whole corpus.
    """
    n_documents, n_bands = len(firsts) - 1, len(edges) - 1
    if n_documents < 2 or share_sampled >= 1:
        return BandErrors(_EMPTY, _EMPTY)
    counts, mass = np.zeros((2, n_documents, n_bands + 1))
    _add_from(x, edges, firsts, counts, mass)
    if n_zeros is not None:
        counts[:, :-1] += np.outer(n_zeros, edges[:-1] <= 0)
    return BandErrors(_errors(counts, 1 - share_sampled), _errors(mass, 1 - share_sampled))


def _jit(**options: Any) -> Any:
    return numba.njit(nogil=True, cache=True, error_model="numpy", **options)


@_jit()
@no_type_check
def _errors(from_edge: Float[np.ndarray, "documents bands_and_one"], left: float) -> Any:
    """The formula, for what each document has from each band's lower edge on; 0 of nothing."""
    n, n_bands = from_edge.shape[0], from_edge.shape[1] - 1
    total = from_edge[:, 0].sum()
    errors = np.zeros(n_bands, np.float32)
    for band in range(n_bands if total > 0 else 0):
        of_band, squares = from_edge[:, band] - from_edge[:, band + 1], 0.0
        share = of_band.sum() / total
        for document in range(n):
            squares += (of_band[document] - share * from_edge[document, 0]) ** 2
        errors[band] = np.sqrt(n / (n - 1) * squares * left) / total
    return errors


@_jit()
@no_type_check
def _add_from(x: Any, edges: Any, firsts: Any, counts: Any, mass: Any) -> None:
    """What each document has from each band's lower edge on."""
    for document in range(firsts.size - 1):
        part = x[firsts[document] : firsts[document + 1]]
        for band in range(edges.size - 1):
            counts[document, band], mass[document, band] = _from_edge(part, edges[band])


# A function of its own, whose sums may be reordered, is what the compiler makes wide. Both are of
# one document, so float32 will do.
@_jit(fastmath={"reassoc", "contract", "nsz"})
@no_type_check
def _from_edge(part: Any, edge: float) -> tuple[float, float]:
    n, total = np.float32(0), np.float32(0)
    one, none = np.float32(1), np.float32(0)
    for i in range(part.size):
        is_in = one if part[i] >= edge else none
        n += is_in
        total += is_in * abs(part[i])
    return n, total
