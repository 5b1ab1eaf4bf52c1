"""What one unit has to do with a rule: the parts of a report of evidence, read from its entries.

Activations are those stored: 8 bits, and 0 where nearer to 0 than the unit's floor. Cost: a pass
over the unit's entries, and a bit for each position.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from app.atlas.opened import OpenAtlas
from app.rule_search.figures import Matched, Threshold, UnitFigures, figures
from app.rule_search.intervals import draw, intervals
from app.rule_search.ranking import Ranked, ranked

N_COUNTER_EXAMPLES = 12


class Band(NamedTuple):
    """An interval of activation, [low, high) but for the last, which is closed.

    mass  sum of |activation|, and that at the matched positions
    """

    low: float
    high: float
    n_positions: int
    n_matched: int
    mass: float
    mass_matched: float


class CounterExamples(NamedTuple):
    """Positions that speak against a rule, and the unit's activation at each.

    n_fires_without, n_silent_despite  how many there are in all
    fires_without   it fires and the rule is silent: the strongest of its window, strongest first,
                    of equals the first
    silent_despite  the rule speaks and it does not fire: windows drawn at random, and a position
                    in each; ascending
    """

    n_fires_without: int
    fires_without: Int64[np.ndarray, " k"]
    fires_values: Float32[np.ndarray, " k"]
    n_silent_despite: int
    silent_despite: Int64[np.ndarray, " k"]
    silent_values: Float32[np.ndarray, " k"]


def evidence(
    atlas: OpenAtlas,
    unit: int,
    matched: Matched,
    documents: Int32[np.ndarray, " positions"],
    threshold: Threshold = 0.0,
) -> Ranked:
    """All figures of one unit at a threshold, with intervals; its `source` is 0."""
    found = of_one(atlas, unit, matched, threshold)
    bounds = intervals([(atlas, unit, int(found.cuts[unit]))], draw(matched, documents))
    return ranked(found, 0, unit, bounds[0])


def of_one(
    atlas: OpenAtlas, unit: int, matched: Matched, threshold: Threshold = 0.0
) -> UnitFigures:
    """The figures of one unit alone, as `figures` finds them."""
    asked = np.zeros(atlas.n_units, bool)
    asked[unit] = True
    return figures([atlas], matched, [asked], threshold)[0]


def bands(
    atlas: OpenAtlas, unit: int, matched: Matched, edges: Float32[np.ndarray, " edges"]
) -> list[Band]:
    """Positions and mass in each interval between ascending `edges`, and how much is matched.

    Every position is in one band: below the first edge in the first, above the last in the last.
    Edges are of exact activations and these of 8 bits, so a position within half a level of an
    edge may fall on its other side.
    """
    positions, values = atlas.of_unit(unit)
    n_bands, edges = len(edges) - 1, np.asarray(edges, np.float32)
    if n_bands < 1:
        return []
    is_matched = _mask(matched, atlas.n_positions)[positions]
    places = _band_of(values, edges)
    sizes = np.abs(values, dtype=np.float64)
    n_all = np.bincount(places, minlength=n_bands)
    n_in = np.bincount(places[is_matched], minlength=n_bands)
    mass = np.bincount(places, sizes, n_bands)
    mass_in = np.bincount(places[is_matched], sizes[is_matched], n_bands)
    at_zero = _band_of(np.zeros(1, np.float32), edges)[0]
    n_all[at_zero] += atlas.n_positions - len(positions)
    n_in[at_zero] += len(matched) - int(is_matched.sum())
    columns = (edges[:-1], edges[1:], n_all, n_in, mass, mass_in)
    return [Band(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def counter_examples(
    atlas: OpenAtlas,
    unit: int,
    matched: Matched,
    window_of: Int64[np.ndarray, " positions"],
    threshold: float = 0.0,
    limit: int = N_COUNTER_EXAMPLES,
    seed: int = 0,
) -> CounterExamples:
    """At most `limit` of each kind, and one a window: its neighbours would show the same text.

    window_of  each position's window, ascending
    threshold  as in `Ranked`, an activation from 0 on
    """
    positions, values = atlas.of_unit(unit)
    positions = positions.astype(np.int64)
    fires = values > threshold
    is_matched = _mask(matched, atlas.n_positions)
    without = fires & ~is_matched[positions]
    found = np.flatnonzero(without)
    strongest = found[np.argsort(-values[found], kind="stable")]
    strongest = strongest[_first_of_each(window_of[positions[strongest]])[:limit]]
    is_matched[positions[fires]] = False
    silent = np.flatnonzero(is_matched)
    rng = np.random.default_rng(seed)
    drawn = _one_of_each(silent, window_of, limit, rng)
    return CounterExamples(
        len(found),
        positions[strongest],
        values[strongest],
        len(silent),
        drawn,
        _at(drawn, positions, values),
    )


def _first_of_each(names: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " k"]:
    """Where each name stands first, ascending."""
    _, firsts = np.unique(names, return_index=True)
    return np.sort(firsts)


def _one_of_each(
    positions: Int64[np.ndarray, " n"],
    window_of: Int64[np.ndarray, " positions"],
    limit: int,
    rng: np.random.Generator,
) -> Int64[np.ndarray, " k"]:
    """At most `limit` windows at random, and one of the positions in each; ascending."""
    _, firsts, counts = np.unique(window_of[positions], return_index=True, return_counts=True)
    some = np.sort(rng.choice(len(firsts), min(limit, len(firsts)), replace=False))
    found: np.ndarray = positions[firsts[some] + rng.integers(0, counts[some])]
    return found


def _at(
    wanted: Int64[np.ndarray, " k"],
    positions: Int64[np.ndarray, " some"],
    values: Float32[np.ndarray, " some"],
) -> Float32[np.ndarray, " k"]:
    """The activation at each wanted position: 0 where none is stored."""
    found = np.zeros(len(wanted), np.float32)
    if len(positions):
        places = np.minimum(np.searchsorted(positions, wanted), len(positions) - 1)
        is_there = positions[places] == wanted
        found[is_there] = values[places[is_there]]
    return found


def _band_of(
    values: Float32[np.ndarray, " n"], edges: Float32[np.ndarray, " edges"]
) -> Int64[np.ndarray, " n"]:
    places: np.ndarray = np.searchsorted(edges[1:-1], values, side="right")
    return places


def _mask(matched: Matched, n: int) -> Bool[np.ndarray, " positions"]:
    is_matched = np.zeros(n, bool)
    is_matched[matched] = True
    return is_matched
