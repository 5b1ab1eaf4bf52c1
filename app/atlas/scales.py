"""The scales of many units at once, for kernels: `app.codec.Scale` as arrays."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from app.codec import N_LEVELS


class Scales(NamedTuple):
    """One entry a unit: the level of 0, the widths of a level above and below it, the extremes."""

    zeros: UInt8[np.ndarray, " units"]
    ups: Float64[np.ndarray, " units"]
    downs: Float64[np.ndarray, " units"]
    lows: Float32[np.ndarray, " units"]
    highs: Float32[np.ndarray, " units"]


def scales(lows: Float32[np.ndarray, " units"], highs: Float32[np.ndarray, " units"]) -> Scales:
    """The same figures as `Scale(low, high)` gives one by one; both finite, low <= high."""
    below = np.maximum(-lows.astype(np.float64), 0)
    above = np.maximum(highs.astype(np.float64), 0)
    last = N_LEVELS - 1
    share = last * below / np.where(below + above > 0, below + above, 1)
    zeros = np.clip(np.rint(share), 1, last - 1)
    zeros = np.where(above == 0, last, zeros)
    zeros = np.where(below == 0, 0, zeros)
    ups = np.where(zeros < last, above / np.maximum(last - zeros, 1), 0.0)
    downs = np.where(zeros > 0, below / np.maximum(zeros, 1), 0.0)
    return Scales(zeros.astype(np.uint8), ups, downs, lows, highs)
