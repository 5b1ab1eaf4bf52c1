"""Activations as 8-bit levels, with zero and sign kept exactly.

A `Scale` maps [low, high] onto 256 levels in equal steps, with one level, `zero`, reserved for
exactly 0. A positive activation always gets a level above `zero` and a negative one a level
below, so that counts of active positions taken from levels are exact. Level `zero + i` stands
for the half-open band [(i - 1) * step, i * step) and decodes to its middle; the outermost levels
decode to `low` and `high` themselves, so that an extreme survives the round trip exactly.
Elsewhere the error is at most step / 2 = (high - min(low, 0)) / 510 or thereabouts.

Cost: one pass over the values. Used by the workers when they write and by the web when it reads.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

N_LEVELS = 256


@dataclass(frozen=True, slots=True)
class Scale:
    """The range that a run of activations spans; 0 is always inside the range coded.

    `low` and `high` are the exact extremes in float32 (low <= high, both finite).
    """

    low: float
    high: float

    @property
    def zero(self) -> int:
        """The level of exactly 0: 0 where nothing is negative, 255 where nothing is positive."""
        below, above = max(-self.low, 0.0), max(self.high, 0.0)
        if below == 0.0:
            return 0
        if above == 0.0:
            return N_LEVELS - 1
        return min(max(round((N_LEVELS - 1) * below / (below + above)), 1), N_LEVELS - 2)

    @property
    def positive_step(self) -> float:
        """Width of one level above zero (0.0 where nothing is positive)."""
        n_above = N_LEVELS - 1 - self.zero
        return max(self.high, 0.0) / n_above if n_above else 0.0

    @property
    def negative_step(self) -> float:
        """Width of one level below zero (0.0 where nothing is negative)."""
        return max(-self.low, 0.0) / self.zero if self.zero else 0.0


def encode(values: Float[np.ndarray, "*shape"], scale: Scale) -> UInt8[np.ndarray, "*shape"]:
    """Levels of `values`; values outside the scale take the outermost level of their sign."""
    x = np.asarray(values, dtype=np.float32)
    zero = scale.zero
    levels = np.full(x.shape, zero, dtype=np.int32)
    for sign, step, room in (
        (1, scale.positive_step, N_LEVELS - 1 - zero),
        (-1, scale.negative_step, zero),
    ):
        if room == 0 or step == 0.0:
            continue
        magnitude = np.maximum(sign * x, 0)
        offset = np.minimum(np.floor(magnitude / np.float32(step)) + 1, room).astype(np.int32)
        levels += sign * np.where(magnitude > 0, offset, 0)
    return levels.astype(np.uint8)


def decode(levels: UInt8[np.ndarray, "*shape"], scale: Scale) -> Float[np.ndarray, "*shape"]:
    """float32 activations that `levels` stand for; the inverse of `encode` to half a step."""
    values: np.ndarray = level_values(scale)[levels]
    return values


def level_values(scale: Scale) -> Float[np.ndarray, " 256"]:
    """The activation that each level stands for."""
    zero = scale.zero
    offsets = np.arange(N_LEVELS, dtype=np.float64) - zero
    values = np.where(
        offsets > 0,
        (offsets - 0.5) * scale.positive_step,
        (offsets + 0.5) * scale.negative_step,
    )
    values[zero] = 0.0
    if zero < N_LEVELS - 1:
        values[N_LEVELS - 1] = scale.high
    if zero > 0:
        values[0] = scale.low
    return values.astype(np.float32)


def level_edges(scale: Scale) -> Float[np.ndarray, " 257"]:
    """Lower edge of each level's band, and the upper edge of the last; non-decreasing.

    The level of zero has an empty band at 0: level i covers [edges[i], edges[i + 1]).
    """
    zero = scale.zero
    above = np.arange(0, N_LEVELS - zero) * scale.positive_step
    below = np.arange(-zero, 1) * scale.negative_step
    return np.concatenate([below, above]).astype(np.float64)
