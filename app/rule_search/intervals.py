"""95% intervals of units' figures, by drawing documents again with replacement.

Documents and never tokens: what a document repeats is no further evidence. All units are read under
the same `N_REPLICATES` draws of a fixed seed, so an interval is the same whenever it is asked for.
Each draw takes as many documents as there are; the bounds are the 2.5th and 97.5th percentiles of
what the figures then are. The threshold stays that of the whole atlas. Where there are more than
`MAX_BLOCKS` documents, equally many neighbours are drawn together, which keeps documents whole.
NaN for one document alone, and where a figure cannot be said in half of the draws.

Where a precision, a recall or a mass explained is exactly 0 or 1, every draw says the same, and
drawing again knows nothing of how far off that may be. There the other bound is the rule of three:
of n documents that have a say none is an exception, so that with 95% confidence no more than 3/n
of such documents are. A say has a document where the unit fires (precision), where the rule holds
(recall), or where the unit is above 0 (mass explained). For AUROC, MCC and R² there is no such
rule: of exactly 1 they keep bounds of 1; precision and recall beside them say how sure that is.

Cost: about 10 ns for each entry of a unit, in threads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, UInt8

from app.atlas.opened import OpenAtlas
from app.rule_search.figures import FIGURES, Matched, pool

N_REPLICATES = 200
MAX_BLOCKS = 4096
SEED = 0
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True, eq=False)
class Draws:
    """A rule in every draw: which block each position is of, and how often blocks were drawn."""

    blocks: Int32[np.ndarray, " positions"]
    is_matched: Bool[np.ndarray, " positions"]
    weights: UInt8[np.ndarray, "blocks replicates"]
    n_matched: Int64[np.ndarray, " replicates"]
    n: Int64[np.ndarray, " replicates"]


def draw(matched: Matched, documents: Int32[np.ndarray, " positions"]) -> Draws:
    """The draws for a rule over positions of these documents (ascending; any numbers)."""
    n = len(documents)
    is_first = np.ones(n, bool)
    np.not_equal(documents[1:], documents[:-1], out=is_first[1:])
    firsts = np.flatnonzero(is_first)
    if len(firsts) > MAX_BLOCKS:
        firsts = firsts[np.arange(MAX_BLOCKS) * len(firsts) // MAX_BLOCKS]
    sizes = np.diff(np.append(firsts, n))
    n_matched = np.diff(np.searchsorted(matched, np.append(firsts, n)))
    weights = _weights(len(firsts))
    wide = weights.astype(np.float64).T  # sums are whole numbers, far below 2**53
    is_matched = np.zeros(n, bool)
    is_matched[matched] = True
    return Draws(
        np.repeat(np.arange(len(firsts), dtype=np.int32), sizes),
        is_matched,
        weights,
        np.einsum("ij,j->i", wide, n_matched.astype(np.float64)).astype(np.int64),
        np.einsum("ij,j->i", wide, sizes.astype(np.float64)).astype(np.int64),
    )


def count_documents(documents: Int32[np.ndarray, " positions"]) -> int:
    """How many there are to draw from."""
    return int(np.count_nonzero(documents[1:] != documents[:-1])) + bool(len(documents))


def intervals(
    asked: Sequence[tuple[OpenAtlas, int, int]], draws: Draws
) -> list[Float64[np.ndarray, "6 2"]]:
    """Lower and upper bounds of FIGURES of each (atlas, unit, level above which it fires)."""
    if len(draws.weights) < 2:
        return [np.full((len(FIGURES), 2), np.nan) for _ in asked]
    return list(pool().map(lambda one: _interval(one[0], one[1], one[2], draws), asked))


def _interval(atlas: OpenAtlas, unit: int, cut: int, draws: Draws) -> Float64[np.ndarray, "6 2"]:
    from app.rule_search.kernels import replicate

    run: Callable[..., None] = replicate
    kept, scales = atlas.by_unit, atlas.scales
    some = slice(*kept.starts[unit : unit + 2])
    scale = (
        int(scales.zeros[unit]), float(scales.ups[unit]), float(scales.downs[unit]),
        float(scales.lows[unit]), float(scales.highs[unit]),
    )  # fmt: skip
    found = np.empty((len(FIGURES), len(draws.n)))
    positions, levels = kept.positions[some], kept.levels[some]
    run(
        positions, levels, draws.blocks, draws.is_matched, draws.weights,
        draws.n_matched, draws.n, scale, int(cut), found,
    )  # fmt: skip
    is_unknown = np.isnan(found).sum(1) * 2 > found.shape[1]
    found[is_unknown] = 0
    bounds: np.ndarray = np.nanpercentile(found, PERCENTILES, axis=1).T
    bounds[is_unknown] = np.nan
    zero = scales.zeros[unit]
    for name, blocks in (
        ("precision", draws.blocks[positions[levels > cut]]),
        ("recall", draws.blocks[draws.is_matched]),
        ("mass_explained", draws.blocks[positions[levels > zero]]),
    ):
        _widen(bounds[FIGURES.index(name)], blocks, len(draws.weights))
    return bounds


def _widen(
    bounds: Float64[np.ndarray, " 2"], blocks: Int32[np.ndarray, " some"], n_blocks: int
) -> None:
    """The rule of three where both bounds are 0 or both 1. `blocks`: those that have a say."""
    if bounds[0] != bounds[1] or bounds[0] not in (0, 1):
        return
    n = int(np.bincount(blocks, minlength=n_blocks).astype(bool).sum())
    most = min(3 / max(n, 1), 1.0)
    bounds[:] = (0, most) if bounds[0] == 0 else (1 - most, 1)


@lru_cache(maxsize=8)
def _weights(n_blocks: int) -> UInt8[np.ndarray, "blocks replicates"]:
    """How often each block is drawn in each replicate."""
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(0, max(n_blocks, 1), (N_REPLICATES, n_blocks))
    counts = [np.bincount(each, minlength=n_blocks) for each in drawn]
    return np.ascontiguousarray(np.minimum(counts, 255).astype(np.uint8).T)
