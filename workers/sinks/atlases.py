"""Writes a source's atlas in pieces, as app.models.atlases describes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from sqlalchemy.orm import Session

from app import partitions
from app.models import Atlas
from workers.kernels.stored_atlas import Rows
from workers.sinks import binary_rows as b

PIECE_BYTES = 4 << 20
_COLUMNS = (
    "scan_id",
    "source_id",
    "piece",
    "first_position",
    "counts",
    "units",
    "levels",
    "hash",
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some positions' rows, as bytes."""

    first_position: int
    counts: bytes
    units: bytes
    levels: bytes

    @property
    def hash(self) -> str:
        """Of the bytes."""
        return hash_of(self.counts, self.units, self.levels)


def write_atlas(session: Session, scan_id: int, source_id: int, rows: Rows) -> None:
    """Writes the atlas whose entries are `rows`.

    The scan's table of pieces must have been made in this transaction.
    """
    columns = (np.concatenate([getattr(block, name) for block in rows.blocks]) for name in _SCALES)
    lows, highs, floors = (column.astype("<f4").tobytes() for column in columns)
    n_units = len(lows) // 4
    unit_bytes = 2 if n_units <= 1 << 16 else 4
    hashes: list[str] = []

    def encoded() -> Iterator[bytes]:
        for number, piece in enumerate(pieces_of(rows, unit_bytes)):
            hashes.append(piece.hash)
            yield b.row(
                b.int4(scan_id),
                b.int4(source_id),
                b.int4(number),
                b.int4(piece.first_position),
                b.raw(piece.counts),
                b.raw(piece.units),
                b.raw(piece.levels),
                b.raw(hashes[-1].encode()),
            )

    table = partitions.name("atlas_pieces", scan_id)
    b.copy_encoded(session.connection(), table, _COLUMNS, encoded(), is_frozen=True)
    session.add(
        Atlas(
            scan_id=scan_id,
            source_id=source_id,
            n_positions=len(rows.starts) - 1,
            n_entries=int(rows.starts[-1]),
            n_pieces=len(hashes),
            unit_bytes=unit_bytes,
            lows=lows,
            highs=highs,
            floors=floors,
            hash=hash_of(lows, highs, floors, "".join(hashes).encode()),
        )
    )


_SCALES = ("lows", "highs", "floors")


def pieces_of(rows: Rows, unit_bytes: int) -> Iterator[Piece]:
    """Runs of positions of about `PIECE_BYTES` each; a row is never cut."""
    n_positions = len(rows.starts) - 1
    sizes = 4 * np.arange(n_positions + 1) + (unit_bytes + 1) * rows.starts
    first = 0
    while first < n_positions:
        last = int(np.searchsorted(sizes, sizes[first] + PIECE_BYTES, "right")) - 1
        last = min(max(last, first + 1), n_positions)
        units, levels = rows.between(first, last)
        yield Piece(
            first_position=first,
            counts=np.diff(rows.starts[first : last + 1]).astype("<u4").tobytes(),
            units=units.astype(f"<u{unit_bytes}").tobytes(),
            levels=levels.tobytes(),
        )
        first = last


def hash_of(*parts: bytes) -> str:
    """BLAKE2b, 16 bytes, in hexadecimal."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
