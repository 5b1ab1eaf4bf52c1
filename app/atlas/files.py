"""Hashes of arrays, and files of numbers mapped for reading."""

from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from app.atlas.errors import Damaged

HASH_BYTES = 16


def digest(*parts: Any) -> str:
    """BLAKE2b of contiguous arrays or bytes one after another, 16 bytes in hexadecimal."""
    hashed = blake2b(digest_size=HASH_BYTES)
    for part in parts:
        hashed.update(part)
    return hashed.hexdigest()


def mapped(path: Path, dtype: str, n: int) -> Any:
    """The file's `n` numbers, mapped for reading. Raises Damaged where its size is another."""
    wanted, found = n * np.dtype(dtype).itemsize, path.stat().st_size
    if found != wanted:
        raise Damaged(f"{path.name} has {found:,} bytes, not {wanted:,}")
    if n == 0:
        return np.zeros(0, dtype)  # nothing to map
    return np.asarray(np.memmap(path, dtype, "r", shape=(n,)))
