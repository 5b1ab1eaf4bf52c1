"""The atlas while a scan runs: all units' activations in the sampled windows, in scratch memory.

What arrives is a batch's sampled windows, kept unit by unit, so that a block of units is read back
in one piece a chunk; units are numbered from the chunk's first. Dense sources keep float32; sparse
ones keep unit, position and value of what is not zero, 12 bytes each, in the order of units.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt32
from torch import Tensor

from workers.arena import ScratchArena
from workers.kernels import gather


@dataclass(frozen=True, slots=True)
class _Dense:
    """Atlas positions from `first` on."""

    first: int
    n_positions: int
    by_unit: Float32[np.ndarray, "units n"]

    def read(
        self, start: int, end: int, places: Int64[np.ndarray, " n"], out: Float32[np.ndarray, "u m"]
    ) -> None:
        """Writes the activations of units `start` to `end`, each position to its place."""
        gather.put_in_places(self.by_unit[start:end], places, out)


@dataclass(frozen=True, slots=True)
class _Sparse:
    """Atlas positions from `first` on; `positions` are counted from there, `units` ascend."""

    first: int
    n_positions: int
    units: UInt32[np.ndarray, " entries"]
    positions: UInt32[np.ndarray, " entries"]
    values: Float32[np.ndarray, " entries"]

    def read(
        self, start: int, end: int, places: Int64[np.ndarray, " n"], out: Float32[np.ndarray, "u m"]
    ) -> None:
        """Writes the activations of units `start` to `end` that are not zero."""
        low, high = np.searchsorted(self.units, np.array([start, end], np.uint32))
        some = slice(low, high)
        out[self.units[some] - np.uint32(start), places[self.positions[some]]] = self.values[some]


@dataclass(slots=True)
class SourceSpool:
    """One source's activations over the atlas; threads may add to it at once.

    `chunks` are kept by first and last (exclusive) unit of what they hold.
    """

    arena: ScratchArena
    n_units: int
    is_sparse: bool
    chunks: dict[tuple[int, int], list[_Dense | _Sparse]] = field(default_factory=dict)

    def add(
        self,
        first: int,
        x: Float[Tensor, "windows pos units"],
        is_counted: Bool[Tensor, "windows pos"],
        rows: Int64[Tensor, " taken"],
        first_unit: int = 0,
    ) -> None:
        """Adds the counted positions of the windows `rows`: atlas positions from `first` on.

        `x` has the units from `first_unit` on and may be on any device; `is_counted` and `rows`
        are on the CPU.
        """
        n_positions = int(is_counted[rows].sum())
        keep = self._keep_sparse if self.is_sparse else self._keep_dense
        chunk = keep(first, n_positions, x, is_counted, rows)
        self.chunks.setdefault((first_unit, first_unit + x.shape[2]), []).append(chunk)

    def read(
        self, first: int, last: int, places: Int64[np.ndarray, " n"] | None = None
    ) -> Float32[np.ndarray, "units n"]:
        """All atlas activations of units first to last.

        `places`: where each position goes, in the order of arrival (None: as they came).
        """
        ends = (chunk.first + chunk.n_positions for some in self.chunks.values() for chunk in some)
        n = max(ends, default=0)
        places = np.arange(n) if places is None else places
        block = np.zeros((last - first, n), dtype=np.float32)
        for (start, end), some in self.chunks.items():
            low, high = max(start, first), min(end, last)
            for chunk in some if low < high else ():
                out = block[low - first : high - first]
                here = places[chunk.first : chunk.first + chunk.n_positions]
                chunk.read(low - start, high - start, here, out)
        return block

    def _keep_dense(
        self, first: int, n: int, x: Tensor, is_counted: Tensor, rows: Tensor
    ) -> _Dense:
        n_units = x.shape[2]
        by_unit = self.arena.take(4 * n_units * n).view(np.float32).reshape(n_units, n)
        if x.device.type == "cpu":
            gather.gather_by_unit(x.float(), is_counted, rows, by_unit)
        else:
            torch.from_numpy(by_unit).copy_(_counted(x, is_counted, rows).T)
        return _Dense(first, n, by_unit)

    def _keep_sparse(
        self, first: int, n: int, x: Tensor, is_counted: Tensor, rows: Tensor
    ) -> _Sparse:
        if x.device.type == "cpu":
            taken = x.float(), is_counted, rows
            ends = gather.count_active(*taken)
            columns = self._columns(int(ends[-1]))
            gather.gather_active(*taken, ends, *columns)
        else:
            by_unit = _counted(x, is_counted, rows).T
            units, positions = by_unit.nonzero(as_tuple=True)
            columns = self._columns(len(units))
            found = (units.int(), positions.int(), by_unit[units, positions])
            for column, values in zip(columns, found, strict=True):
                column[:] = values.cpu().numpy().view(column.dtype)
        return _Sparse(first, n, *columns)

    def _columns(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Room for `n` entries: units, positions, values."""
        piece = self.arena.take(12 * n).view(np.uint32).reshape(3, n)
        return piece[0], piece[1], piece[2].view(np.float32)


def _counted(x: Tensor, is_counted: Tensor, rows: Tensor) -> Float[Tensor, "n units"]:
    """Counted activations of the windows `rows`, where `x` is, in float32."""
    return x[rows.to(x.device)][is_counted[rows].to(x.device)].float()


def open_spools(
    arena: ScratchArena, sources: list[tuple[int, bool]], n_positions: int
) -> list[SourceSpool]:
    """For each source, (n_units, is_sparse), the spool that keeps its atlas in `arena`.

    Raises StorageFull at once where `n_positions` of the dense sources have no room; what sparse
    ones will need is not known before.
    """
    arena.check_room(sum(4 * n_positions * n for n, is_sparse in sources if not is_sparse))
    return [SourceSpool(arena, n_units, is_sparse) for n_units, is_sparse in sources]
