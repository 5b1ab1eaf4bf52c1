"""Examples as the database keeps them: one row for all of one kind of one unit."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

NONE = np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True)
class PackedExamples:
    """One row of `examples` (app.models.scans.Examples says what each field means)."""

    kind: str
    windows: Int[np.ndarray, " examples"]
    positions: Int[np.ndarray, " examples"]
    values: Float[np.ndarray, " examples"]
    max_positions: Int[np.ndarray, " examples"]
    lows: Float[np.ndarray, " examples"]
    highs: Float[np.ndarray, " examples"]
    intervals: Int[np.ndarray, " examples_or_none"]
    levels: bytes


def pack_list(
    kind: str, entries: Mapping[str, np.ndarray], lengths: Int[np.ndarray, " windows"]
) -> PackedExamples | None:
    """One unit's list, best first, as `workers.partials` merges it; None where it is empty.

    `lengths` are the tokens of every window of the corpus.
    """
    if len(entries["windows"]) == 0:
        return None
    row = dict(entries)
    levels = pack_levels(row.pop("levels"), lengths[row["windows"]])
    return PackedExamples(kind=kind, intervals=NONE, levels=levels, **row)


def pack_levels(
    levels: UInt8[np.ndarray, "examples pos"], lengths: Int[np.ndarray, " examples"]
) -> bytes:
    """Levels one example after another, without what is beyond each window's end."""
    if (lengths == levels.shape[1]).all():
        return compress(levels)
    is_inside = np.arange(levels.shape[1]) < lengths[:, None]
    return compress(levels[is_inside])


def compress(levels: UInt8[np.ndarray, "*shape"]) -> bytes:
    """Levels as they are stored."""
    return zlib.compress(levels.tobytes())
