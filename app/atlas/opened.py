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
from app.atlas.unit_major import UnitMajor, in_memory
from app.codec import Scale, level_values

BLOCK = 1024  # directions turned to float32 at a time


class Moments(NamedTuple):
    """Mean and standard deviation of every unit over all positions; `varies` where it is not 0.

    What is not stored counts as 0, as everywhere.
    """

    means: Float64[np.ndarray, " units"]
    stds: Float64[np.ndarray, " units"]
    varies: Bool[np.ndarray, " units"]


class Totals(NamedTuple):
    """Every unit's entries, those above and below 0, and sums over them, in float64.

    mass     sum of what is above 0
    sums     sum of all
    squares  sum of squares
    """

    n_entries: Int64[np.ndarray, " units"]
    n_positive: Int64[np.ndarray, " units"]
    n_negative: Int64[np.ndarray, " units"]
    mass: Float64[np.ndarray, " units"]
    sums: Float64[np.ndarray, " units"]
    squares: Float64[np.ndarray, " units"]


@dataclass(frozen=True, eq=False)
class OpenAtlas:
    """One source's atlas: row i holds the entries [starts[i], starts[i + 1]).

    kept  the same by units, mapped from its files; None where it is only in memory
    """

    key: str
    starts: Int64[np.ndarray, " positions_and_one"]
    units: UInt16[np.ndarray, " entries"] | UInt32[np.ndarray, " entries"]
    levels: UInt8[np.ndarray, " entries"]
    lows: Float32[np.ndarray, " units"]
    highs: Float32[np.ndarray, " units"]
    floors: Float32[np.ndarray, " units"]
    kept: UnitMajor | None = None

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
    def by_unit(self) -> UnitMajor:
        """The entries by units; made in memory where there are no files of it."""
        return self.kept or in_memory(self.starts, self.units, self.levels, self.n_units)

    def of_unit(
        self, unit: int
    ) -> tuple[UInt32[np.ndarray, " some"], Float32[np.ndarray, " some"]]:
        """The positions that are stored of a unit, ascending, and its activations there.

        Elsewhere it is 0, or nearer to 0 than its floor.
        """
        some = slice(*self.by_unit.starts[unit : unit + 2])
        return self.by_unit.positions[some], self.values_of(unit)[self.by_unit.levels[some]]

    def values_of(self, unit: int) -> Float32[np.ndarray, " 256"]:
        """The activation that each level of a unit stands for."""
        return level_values(Scale(float(self.lows[unit]), float(self.highs[unit])))

    @cached_property
    def totals(self) -> Totals:
        """One pass over each unit's different levels, some nanoseconds each."""
        from app.atlas.kernels import add_moments

        kept, n_units = self.by_unit, self.n_units
        n_positive, n_negative = np.zeros(n_units, np.int64), np.zeros(n_units, np.int64)
        mass, sums, squares = np.zeros(n_units), np.zeros(n_units), np.zeros(n_units)
        add_moments(
            kept.kind_starts, kept.kinds, kept.kind_counts, *self.scales,
            n_positive, n_negative, mass, sums, squares,
        )  # fmt: skip
        return Totals(np.diff(kept.starts), n_positive, n_negative, mass, sums, squares)

    @cached_property
    def moments(self) -> Moments:
        """Whether a unit varies is told from its levels, since rounding hides a zero variance."""
        n, totals = self.n_positions, self.totals
        is_zero = totals.n_positive + totals.n_negative == 0
        is_one_level = np.diff(self.by_unit.kind_starts) == 1
        varies = ~is_zero & ~((totals.n_entries == n) & is_one_level)
        means = totals.sums / max(n, 1)
        variances = np.maximum(totals.squares / max(n, 1) - means**2, 0)
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
