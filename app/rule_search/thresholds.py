"""A unit and a rule at one threshold after the other: what moving the threshold costs and gains."""

import numpy as np
from jaxtyping import Float64, Int64

from app.atlas.opened import OpenAtlas
from app.rule_search.figures import Matched
from app.rule_search.schemas import AtThreshold

N_THRESHOLDS = 40
DIGITS = 4


def at_thresholds(
    atlas: OpenAtlas, unit: int, matched: Matched, n: int = N_THRESHOLDS
) -> list[AtThreshold]:
    """Figures at `n` round thresholds from 0 up to below the unit's maximum, ascending.

    A unit fires where its stored activation is above the threshold, as in `one_unit.of_one`.
    Nothing for a unit that is never above 0.
    """
    high = float(atlas.highs[unit])
    if not high > 0:
        return []
    positions, values = atlas.of_unit(unit)
    is_matched = np.zeros(atlas.n_positions, bool)
    is_matched[matched] = True
    # Rounded, so that an address that names one names it exactly.
    thresholds = np.array([float(f"{high * i / n:.{DIGITS}g}") for i in range(n)])
    n_fires = _above(values, thresholds)
    tp = _above(values[is_matched[positions]], thresholds)
    columns = {
        "threshold": thresholds,
        "precision": _ratio(tp, n_fires),
        "recall": _ratio(tp, np.full(n, len(matched))),
        "mcc": _mcc(tp, n_fires, len(matched), atlas.n_positions),
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [
        AtThreshold(**{k: None if np.isnan(v) else v for k, v in zip(columns, row, strict=True)})
        for row in rows
    ]


def _above(values: np.ndarray, thresholds: Float64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """How many values are above each threshold."""
    ordered = np.sort(values.astype(np.float64))
    found: np.ndarray = len(ordered) - np.searchsorted(ordered, thresholds, side="right")
    return found


def _ratio(
    part: Int64[np.ndarray, " n"], whole: Int64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = np.where(whole > 0, part / whole, np.nan)
    return found


def _mcc(
    tp: Int64[np.ndarray, " n"],
    n_fires: Int64[np.ndarray, " n"],
    n_matched: int,
    n_positions: int,
) -> Float64[np.ndarray, " n"]:
    """Matthews' correlation from the margins, in floats, for the products exceed 64 bits."""
    fires, matched, total = n_fires.astype(float), float(n_matched), float(n_positions)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(fires * (total - fires) * matched * (total - matched))
        found: np.ndarray = np.where(spread > 0, (total * tp - fires * matched) / spread, np.nan)
    return found
