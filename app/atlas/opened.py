"""An atlas and directions as arrays mapped from their local copies, with what is derived once.

Mapped files are read as they are needed and shared by all processes of a machine. A map goes on
working when its file is deleted. Nothing here is written to.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float16, Float32, Float64, Int64, UInt8, UInt16, UInt32

from app.atlas.scales import Scales, scales

BLOCK = 1024  # directions turned to float32 at a time


class Moments(NamedTuple):
    """Mean and standard deviation of every unit over all positions; `varies` where it is not 0.

    What is not stored counts as 0, as everywhere.
    """

    means: Float64[np.ndarray, " units"]
    stds: Float64[np.ndarray, " units"]
    varies: Bool[np.ndarray, " units"]


@dataclass(frozen=True, eq=False)
class OpenAtlas:
    """One source's atlas: row i holds the entries [starts[i], starts[i + 1])."""

    key: str
    starts: Int64[np.ndarray, " positions_and_one"]
    units: UInt16[np.ndarray, " entries"] | UInt32[np.ndarray, " entries"]
    levels: UInt8[np.ndarray, " entries"]
    lows: Float32[np.ndarray, " units"]
    highs: Float32[np.ndarray, " units"]
    floors: Float32[np.ndarray, " units"]

    @property
    def n_units(self) -> int:
        return len(self.lows)

    @property
    def n_positions(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def scales(self) -> Scales:
        """How levels are decoded."""
        return scales(self.lows, self.highs)

    @cached_property
    def moments(self) -> Moments:
        """One pass over all entries, about 3 ns each, at the first question.

        Whether a unit varies is told from its levels, since rounding hides a zero variance.
        """
        from app.atlas.kernels import add_moments

        n, n_units = self.n_positions, self.n_units
        counts = np.zeros(n_units, np.int64)
        least, greatest = np.full(n_units, 255, np.uint8), np.zeros(n_units, np.uint8)
        sums, squares = np.zeros(n_units), np.zeros(n_units)
        add_moments(
            self.units, self.levels, *self.scales, counts, least, greatest, sums, squares
        )  # fmt: skip
        zeros = self.scales.zeros
        is_zero = (counts == 0) | ((least == zeros) & (greatest == zeros))
        varies = ~is_zero & ~((counts == n) & (least == greatest))
        means = sums / max(n, 1)
        variances = np.maximum(squares / max(n, 1) - means**2, 0)
        stds = np.sqrt(variances)
        return Moments(means, stds, varies & (stds > 0))


@dataclass(frozen=True, eq=False)
class OpenDirections:
    """A source's output directions, one a row."""

    key: str
    vectors: Float16[np.ndarray, "units d_model"]

    @property
    def n_units(self) -> int:
        return len(self.vectors)

    @cached_property
    def norms(self) -> Float32[np.ndarray, " units"]:
        """Lengths of the stored rows: 1 to the precision of float16, or 0."""
        blocks = [
            np.linalg.norm(self.vectors[at : at + BLOCK].astype(np.float32), axis=1)
            for at in range(0, self.n_units, BLOCK)
        ]
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
