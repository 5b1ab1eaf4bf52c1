"""The atlas and the output directions: what units are compared by. Stored in pieces.

An atlas holds one source's activations at all counted positions of the sampled windows of a scan,
in the order of windows, then of positions. It is token-major and sparse: for each position, the
units whose |activation| is at least their floor (latents: every activation that is not 0), and
their levels on the unit's `app.codec.Scale`. Numbers are little-endian.
"""

from sqlalchemy import BigInteger, ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Atlas(Base):
    """One source's atlas over one scan.

    unit_bytes  2 or 4: the width of the pieces' unit numbers
    lows, highs float32, one a unit: the scale of its levels, exact extremes over the atlas
    floors      float32, one a unit: activations nearer to 0 than this are left out (0: none but 0)
    hash        BLAKE2b (16 bytes, hex) over lows, highs, floors, and the pieces' hashes in order
                as ASCII: names the local copy, which is checked by it
    """

    __tablename__ = "atlases"

    scan_id: Mapped[int] = mapped_column(
        ForeignKey("scans.id", ondelete="CASCADE"), primary_key=True
    )
    source_id: Mapped[int] = mapped_column(
        ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True
    )
    n_positions: Mapped[int]
    n_entries: Mapped[int] = mapped_column(BigInteger)
    n_pieces: Mapped[int]
    unit_bytes: Mapped[int]
    lows: Mapped[bytes] = mapped_column(LargeBinary)
    highs: Mapped[bytes] = mapped_column(LargeBinary)
    floors: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[str]


class AtlasPiece(Base):
    """A run of positions of an atlas, some megabytes.

    counts      uint32, one a position: its entries
    units       uint16 or uint32, one an entry, ascending within a position
    levels      uint8, one an entry
    hash        BLAKE2b (16 bytes, hex) over counts, units, levels
    """

    __tablename__ = "atlas_pieces"
    __table_args__ = {"postgresql_partition_by": "LIST (scan_id)"}

    scan_id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(primary_key=True)
    piece: Mapped[int] = mapped_column(primary_key=True)
    first_position: Mapped[int]
    counts: Mapped[bytes] = mapped_column(LargeBinary)
    units: Mapped[bytes] = mapped_column(LargeBinary)
    levels: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[str]


class Directions(Base):
    """Output directions of a run of a source's units, each of length 1 (or 0), as float16.

    `vectors`: units × d_model, row by row; what one unit of activation adds to the residual
    stream. `hash` as in AtlasPiece.
    """

    __tablename__ = "directions"

    source_id: Mapped[int] = mapped_column(
        ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True
    )
    first_unit: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    vectors: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[str]
