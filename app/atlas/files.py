"""Hashes of arrays, and files of numbers mapped for reading."""

from hashlib import blake2b
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from app.atlas.errors import Damaged

HASH_BYTES = 16
COPIED_AT_ONCE = 1 << 24


def digest(*parts: Any) -> str:
    """BLAKE2b of contiguous arrays or bytes one after another, 16 bytes in hexadecimal."""
    hashed = blake2b(digest_size=HASH_BYTES)
    for part in parts:
        hashed.update(part)
    return hashed.hexdigest()


def mapped(path: Path, dtype: str, n: int) -> Any:
    """The file's `n` numbers, mapped for reading. Raises Damaged where its size is another.

    Mapped is a copy that has no name, and takes its room on the disk until it is let go: were it
    the file itself, whoever cuts that would end every process that reads it (SIGBUS), and whoever
    writes to it would change figures that were checked.
    """
    wanted = n * np.dtype(dtype).itemsize
    with path.open("rb") as file, TemporaryFile(dir=path.parent.parent) as own:
        copyfileobj(file, own, COPIED_AT_ONCE)
        own.flush()
        found = own.tell()
        if found != wanted:
            raise Damaged(f"{path.name} has {found:,} bytes, not {wanted:,}")
        if n == 0:
            return np.zeros(0, dtype)  # nothing to map
        return np.asarray(np.memmap(own, dtype, "r", shape=(n,)))
