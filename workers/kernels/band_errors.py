"""How far a band's shares, taken from the atlas's sample, may be from those of the whole corpus.

Tokens of one document are alike, so documents, not tokens, are what was drawn (Cochran, Sampling
Techniques, 3rd ed., 6.3 and 9A.2: a ratio estimated from clusters). For a share p = Σc / Σn, with
c and n of each document d:

    SE² = D / (D − 1) · Σ (c_d − p · n_d)² / (Σn)² · (1 − sampled share of the corpus)

Cost: one pass over the activations, and one over documents × bands.
"""

from typing import Any, NamedTuple, no_type_check

import numba
import numpy as np
from jaxtyping import Float, Int32

_EMPTY = np.zeros(0, np.float32)


class BandErrors(NamedTuple):
    """Standard errors of each band's share of positions and of mass; empty where there are none."""

    shares: Float[np.ndarray, " bands"]
    mass: Float[np.ndarray, " bands"]


def band_errors(
    x: Float[np.ndarray, " n"],
    edges: Float[np.ndarray, " edges"],
    documents: Int32[np.ndarray, " n"],
    n_documents: int,
    share_sampled: float,
) -> BandErrors:
    """Errors of bands [edge, next edge) of the activations `x`, whose documents are numbered.

    Empty where one document says nothing of others, and where the sample is the whole corpus.
    """
    n_bands = len(edges) - 1
    if n_documents < 2 or share_sampled >= 1:
        return BandErrors(_EMPTY, _EMPTY)
    counts, mass = np.zeros((2, n_documents, n_bands))
    _add(x, edges, documents, counts, mass)
    left = 1 - share_sampled
    return BandErrors(_errors(counts, left), _errors(mass, left))


def _errors(of_bands: Float[np.ndarray, "documents bands"], left: float) -> np.ndarray:
    of_documents = of_bands.sum(axis=1)
    total = of_documents.sum()
    if total == 0:
        return np.zeros(of_bands.shape[1], np.float32)
    residuals = of_bands - of_documents[:, None] * (of_bands.sum(axis=0) / total)
    n = len(of_documents)
    variance = n / (n - 1) * (residuals**2).sum(axis=0) / total**2 * left
    errors: np.ndarray = np.sqrt(variance).astype(np.float32)
    return errors


def _jit() -> Any:
    return numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit()
@no_type_check
def _add(x: Any, edges: Any, documents: Any, counts: Any, mass: Any) -> None:
    n_bands = edges.size - 1
    for i in range(x.size):
        band = n_bands - 1
        while band > 0 and x[i] < edges[band]:
            band -= 1
        counts[documents[i], band] += 1
        mass[documents[i], band] += abs(x[i])
