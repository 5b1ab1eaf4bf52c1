"""An atlas in memory and the matrix that it stands for."""

import numpy as np

from app import codec
from app.atlas.opened import OpenAtlas


def make_atlas(key: str, values: np.ndarray, is_kept: np.ndarray) -> tuple[OpenAtlas, np.ndarray]:
    """An atlas of `values` (positions, units) where kept, and what it says, densified."""
    of_units = [codec.Scale(float(x.min()), float(x.max())) for x in values.T]
    levels = [codec.encode(x, s) for x, s in zip(values.T, of_units, strict=True)]
    dense = [codec.decode(x, s) for x, s in zip(levels, of_units, strict=True)]
    is_kept = is_kept & (values != 0)
    atlas = OpenAtlas(
        key,
        np.cumsum([0, *is_kept.sum(1)]).astype(np.int64),
        np.nonzero(is_kept)[1].astype(np.uint16),
        np.stack(levels, axis=1)[is_kept],
        values.min(0),
        values.max(0),
        np.zeros(values.shape[1], np.float32),
    )
    return atlas, np.where(is_kept, np.stack(dense, axis=1), np.float32(0))
