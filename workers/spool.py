"""The atlas while a scan runs: all units' activations in the sampled windows, in a scratch file.

The file has no name (it is unlinked as soon as it is open), so it is gone with the process,
however that ends. What arrives is a window sample of one batch, written unit by unit, so that a
block of units is read back with one read a chunk. Dense sources keep float32; the others, which
are mostly zero, keep positions and values of what is not.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import Float, Float32

from workers.sinks.copying import StorageFull

# Some file systems take a write of many megabytes ten times slower than the same in pieces.
_PIECE = 1 << 20
_REMEDY = "Free space, set UNITSCOPE_DATA_DIR to another disk, or pass a smaller --atlas-tokens."


@dataclass(slots=True)
class Chunk:
    """What one batch left of one source: where in the file, and which atlas positions."""

    offset: int
    first: int
    n_positions: int


@dataclass(slots=True)
class SourceSpool:
    """One source's activations over the atlas."""

    file: "ScratchFile"
    n_units: int
    is_sparse: bool
    chunks: list[Chunk] = field(default_factory=list)

    def append(self, first: int, by_unit: Float32[np.ndarray, "units n"]) -> None:
        """Adds `n` atlas positions from `first` on; the array may be used again afterwards."""
        offset = self.file.write(*(_sparse(by_unit) if self.is_sparse else (by_unit,)))
        self.chunks.append(Chunk(offset, first, by_unit.shape[1]))

    def read(self, first: int, last: int) -> Float32[np.ndarray, "units n"]:
        """All atlas activations of units first to last."""
        n_positions = sum(chunk.n_positions for chunk in self.chunks)
        block = np.zeros((last - first, n_positions), dtype=np.float32)
        for chunk in self.chunks:
            part = block[:, chunk.first : chunk.first + chunk.n_positions]
            if self.is_sparse:
                self._read_sparse(chunk, first, last, part)
            else:
                offset = chunk.offset + first * chunk.n_positions * 4
                part[:] = self.file.read(offset, part.size, np.float32).reshape(part.shape)
        return block

    def _read_sparse(
        self, chunk: Chunk, first: int, last: int, part: Float[np.ndarray, "units n"]
    ) -> None:
        """Layout: starts of units (int64, one more than units), positions (uint32), values."""
        starts = self.file.read(chunk.offset + first * 8, last - first + 1, np.int64)
        (n_all,) = self.file.read(chunk.offset + self.n_units * 8, 1, np.int64)
        n, body = int(starts[-1] - starts[0]), chunk.offset + (self.n_units + 1) * 8
        positions = self.file.read(body + int(starts[0]) * 4, n, np.uint32)
        values = self.file.read(body + (int(n_all) + int(starts[0])) * 4, n, np.float32)
        part[np.repeat(np.arange(last - first), np.diff(starts)), positions] = values


def _sparse(by_unit: Float[np.ndarray, "units n"]) -> tuple[np.ndarray, ...]:
    units, positions = np.nonzero(by_unit)
    starts = np.searchsorted(units, np.arange(len(by_unit) + 1)).astype(np.int64)
    return starts, positions.astype(np.uint32), by_unit[units, positions]


class ScratchFile:
    """A nameless file that several threads may write to and read from at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with self._explained():
            directory.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115
        self._end = 0
        self._lock = Lock()

    def check_room(self, n_bytes: int) -> None:
        """Raises StorageFull where the disk has fewer bytes left."""
        n_free = shutil.disk_usage(self._directory).free
        if n_bytes > n_free:
            self.close()
            raise StorageFull(
                f"The scan needs {n_bytes / 1e9:.1f} GB of scratch space in {self._directory}, "
                f"where {n_free / 1e9:.1f} GB are free. {_REMEDY}"
            )

    def write(self, *arrays: np.ndarray) -> int:
        """Appends arrays one after another; returns where the first begins."""
        n_bytes = sum(array.nbytes for array in arrays)
        with self._lock:
            start, self._end = self._end, self._end + n_bytes
        at = start
        with self._explained():
            for array in arrays:
                self._write_all(memoryview(np.ascontiguousarray(array).data).cast("B"), at)
                at += array.nbytes
        return start

    def read(self, offset: int, n: int, dtype: type[np.generic]) -> np.ndarray:
        """`n` items at `offset`."""
        n_bytes = n * np.dtype(dtype).itemsize
        found = bytearray(n_bytes)
        n_read = os.preadv(self._file.fileno(), [found], offset) if n_bytes else 0
        assert n_read == n_bytes, "the scratch file is shorter than what was written"
        return np.frombuffer(found, dtype=dtype)

    def close(self) -> None:
        """Gives the space back."""
        self._file.close()

    def _write_all(self, rest: memoryview, at: int) -> None:
        while rest:
            n = os.pwrite(self._file.fileno(), rest[:_PIECE], at)
            at, rest = at + n, rest[n:]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(
                    f"The disk that holds {self._directory} is full: the scan's scratch file needs "
                    f"4 bytes for each neuron and sampled position. {_REMEDY}"
                ) from error
            raise StorageFull(
                f"No scratch file can be made in {self._directory}: {error.strerror}. Set "
                "UNITSCOPE_DATA_DIR to a directory that can be written."
            ) from error


def is_sparse(kind: str) -> bool:
    """Whether a source's activations are mostly zero: latents are, neurons need not be."""
    return kind != "neuron"


def open_spools(
    directory: Path, sources: list[tuple[str, int]], n_positions: int
) -> tuple[ScratchFile, list[SourceSpool]]:
    """A scratch file and, for each (kind, n_units), the spool that writes into it.

    Raises StorageFull at once where `n_positions` of the dense sources have no room; what sparse
    ones will need is not known before.
    """
    file = ScratchFile(directory)
    file.check_room(sum(4 * n_positions * n for kind, n in sources if not is_sparse(kind)))
    return file, [SourceSpool(file, n_units, is_sparse(kind)) for kind, n_units in sources]
