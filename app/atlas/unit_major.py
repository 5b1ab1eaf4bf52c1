"""The entries of an atlas by units: made from the rows of its copy, kept in files beside them.

Unit i has the entries [starts[i], starts[i + 1]) of `positions` (ascending) and `levels`; and
[kind_starts[i], kind_starts[i + 1]) of `kinds`, the levels that occur in it, ascending, with the
number of its entries of each. So a unit's whole distribution is read in at most 256 steps, and
takes no more than its entries do: what is ranked needs no table of units × levels.

A counting sort: two passes over the rows, two over the result, about 15 ns an entry, and no memory
but the arrays, which are files mapped for writing (their blocks taken first, so that a full disk is
an error and no fault). The hash of them all is written last, and checked whenever they are opened:
5 bytes an entry, 1 s a gigabyte.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8, UInt16, UInt32

from app.atlas.errors import Damaged, Underived
from app.atlas.files import digest, mapped

FORMAT = "unit-major 1"  # goes into the hash: another format is not taken for this one
HASH_FILE = "unit_major"
N_LEVELS = 256
ENTRY_BYTES = KIND_BYTES = 5
UNIT_BYTES = 16

_New = Callable[[str, str, int], Any]


class UnitMajor(NamedTuple):
    """The entries by units, and each unit's distribution."""

    starts: Int64[np.ndarray, " units_and_one"]
    positions: UInt32[np.ndarray, " entries"]
    levels: UInt8[np.ndarray, " entries"]
    kind_starts: Int64[np.ndarray, " units_and_one"]
    kinds: UInt8[np.ndarray, " kinds"]
    kind_counts: UInt32[np.ndarray, " kinds"]


FILES = {
    "starts": ("unit_starts", "<i8"),
    "positions": ("unit_positions", "<u4"),
    "levels": ("unit_levels", "u1"),
    "kind_starts": ("kind_starts", "<i8"),
    "kinds": ("kinds", "u1"),
    "kind_counts": ("kind_counts", "<u4"),
}


def n_bytes(n_units: int, n_entries: int) -> int:
    """At most what the files take."""
    n_kinds = min(n_entries, n_units * N_LEVELS)
    return n_entries * ENTRY_BYTES + n_kinds * KIND_BYTES + n_units * UNIT_BYTES


def in_memory(
    starts: Int64[np.ndarray, " positions_and_one"],
    units: UInt16[np.ndarray, " entries"] | UInt32[np.ndarray, " entries"],
    levels: UInt8[np.ndarray, " entries"],
    n_units: int,
) -> UnitMajor:
    """The same as the files, for an atlas that has none."""
    return _made(starts, units, levels, n_units, lambda _, dtype, n: np.empty(n, dtype))


def write(
    folder: Path,
    key: str,
    starts: Int64[np.ndarray, " positions_and_one"],
    units: UInt16[np.ndarray, " entries"] | UInt32[np.ndarray, " entries"],
    levels: UInt8[np.ndarray, " entries"],
    n_units: int,
) -> None:
    """Makes the files in `folder` from rows that were checked: each unit below `n_units`.

    What others have open of older files stays as it was. Raises OSError.
    """

    def new(name: str, dtype: str, n: int) -> Any:
        return _new_file(folder / f"{FILES[name][0]}.new", dtype, n)

    (folder / HASH_FILE).unlink(missing_ok=True)
    made = _made(starts, units, levels, n_units, new)
    for name, _ in FILES.values():
        (folder / f"{name}.new").rename(folder / name)
    (folder / HASH_FILE).write_text(_hash(key, made))


def read(folder: Path, key: str, n_units: int, n_entries: int) -> UnitMajor:
    """The files, mapped and checked. Raises Underived where they are to be made."""
    try:
        n_kinds = (folder / "kinds").stat().st_size
        sizes = [n_units + 1, n_entries, n_entries, n_units + 1, n_kinds, n_kinds]
        arrays = [
            mapped(folder / name, dtype, n)
            for (name, dtype), n in zip(FILES.values(), sizes, strict=True)
        ]
        kept = (folder / HASH_FILE).read_bytes()
    except (Damaged, FileNotFoundError) as damage:
        raise Underived(f"its order by units: {damage}") from damage
    found = UnitMajor(*arrays)
    if kept != _hash(key, found).encode():
        raise Underived("its order by units is not what its hash says")
    return found


def _hash(key: str, made: UnitMajor) -> str:
    return digest(f"{FORMAT} {key} ".encode(), *made)


def _made(
    starts: np.ndarray, units: np.ndarray, levels: np.ndarray, n_units: int, new: _New
) -> UnitMajor:
    from app.atlas import kernels

    counts = np.zeros(n_units, np.int64)
    kernels.count_units(units, counts)
    of_unit = new("starts", "<i8", n_units + 1)
    of_unit[0] = 0
    np.cumsum(counts, out=of_unit[1:])
    positions, unit_levels = new("positions", "<u4", len(units)), new("levels", "u1", len(units))
    kernels.place_by_unit(starts, units, levels, of_unit[:-1].copy(), positions, unit_levels)
    kernels.count_kinds(of_unit, unit_levels, counts)
    of_kind = new("kind_starts", "<i8", n_units + 1)
    of_kind[0] = 0
    np.cumsum(counts, out=of_kind[1:])
    n_kinds = int(of_kind[-1])
    kinds, kind_counts = new("kinds", "u1", n_kinds), new("kind_counts", "<u4", n_kinds)
    kernels.write_kinds(of_unit, unit_levels, of_kind, kinds, kind_counts)
    return UnitMajor(of_unit, positions, unit_levels, of_kind, kinds, kind_counts)


def _new_file(path: Path, dtype: str, n: int) -> Any:
    """A new file of `n` numbers, mapped for writing, whose blocks are taken on the disk."""
    path.unlink(missing_ok=True)
    size = n * np.dtype(dtype).itemsize
    with path.open("xb") as file:
        if size:
            os.posix_fallocate(file.fileno(), 0, size)
    return np.asarray(np.memmap(path, dtype, "r+", shape=(n,))) if size else np.zeros(0, dtype)
