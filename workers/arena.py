"""Scratch memory for as long as a scan's atlas is collected: of the process, then of a file.

It is handed out in pieces that are written in place. While the budget of memory lasts they come
from anonymous maps; what is beyond it comes from a file without a name (gone with the process,
however that ends), mapped likewise. The file's space is reserved before it is mapped, so a full
disk is an error here and never a signal at some later write.
"""

import errno
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8

from workers.sinks.copying import StorageFull

SEGMENT_BYTES = 64 << 20
_ALIGNED = 64
_REMEDY = "Free space, set UNITSCOPE_DATA_DIR to another disk, or pass a smaller --atlas-tokens."


class ScratchArena:
    """Pieces for several threads at once; `n_bytes` of them so far."""

    def __init__(self, directory: Path, memory_bytes: int) -> None:
        self.n_bytes = 0
        self._directory = directory
        self._memory_left = memory_bytes
        self._file: BinaryIO | None = None
        self._file_end = 0
        self._segment = np.empty(0, np.uint8)
        self._used = 0
        self._lock = Lock()

    def check_room(self, n_bytes: int) -> None:
        """Raises StorageFull where memory and disk together have fewer bytes left."""
        n_file = n_bytes - self._memory_left
        if n_file <= 0:
            return
        with self._explained():
            self._directory.mkdir(parents=True, exist_ok=True)
        n_free = shutil.disk_usage(self._directory).free
        if n_file > n_free:
            raise StorageFull(
                f"The scan needs {n_file / 1e9:.1f} GB of scratch space in {self._directory}, "
                f"where {n_free / 1e9:.1f} GB are free. {_REMEDY}"
            )

    def take(self, n_bytes: int) -> UInt8[np.ndarray, " n_bytes"]:
        """A piece of zeros, aligned for any type; StorageFull where there is no room for it."""
        with self._lock:
            first = -(-self._used // _ALIGNED) * _ALIGNED
            if first + n_bytes > len(self._segment):
                self._segment, first = self._new_segment(max(n_bytes, SEGMENT_BYTES)), 0
            self._used = first + n_bytes
            self.n_bytes += n_bytes
            piece: np.ndarray = self._segment[first : self._used]
            return piece

    def close(self) -> None:
        """Gives the space back as soon as nobody holds a piece."""
        self._segment, self._used, self._memory_left = np.empty(0, np.uint8), 0, 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def _new_segment(self, n_bytes: int) -> UInt8[np.ndarray, " n_bytes"]:
        n_bytes = -(-n_bytes // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        if n_bytes <= self._memory_left:
            try:
                segment = np.frombuffer(mmap.mmap(-1, n_bytes), np.uint8)
            except OSError:  # a limit that the budget did not know of
                self._memory_left = 0
            else:
                self._memory_left -= n_bytes
                return segment
        return self._map_file(n_bytes)

    def _map_file(self, n_bytes: int) -> UInt8[np.ndarray, " n_bytes"]:
        with self._explained():
            if self._file is None:
                self._directory.mkdir(parents=True, exist_ok=True)
                made = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115
                self._file = made
            assert self._file is not None
            number, first = self._file.fileno(), self._file_end
            os.posix_fallocate(number, first, n_bytes)
            mapped = mmap.mmap(number, n_bytes, offset=first)
        self._file_end += n_bytes
        return np.frombuffer(mapped, np.uint8)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise StorageFull(
                    f"The disk that holds {self._directory} is full: the scan's scratch file needs "
                    f"4 bytes for each neuron and sampled position. {_REMEDY}"
                ) from error
            raise StorageFull(
                f"No scratch file can be made in {self._directory}: {error.strerror}. Set "
                "UNITSCOPE_DATA_DIR to a directory that can be written."
            ) from error
