"""Writes units' output directions in pieces, as app.models.atlases describes them."""

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from workers.sinks import binary_rows as b
from workers.sinks.atlases import PIECE_BYTES, hash_of

_COLUMNS = ("source_id", "first_unit", "vectors", "hash")


def write_directions(
    connection: Connection, source_id: int, directions: Float[np.ndarray, "units d_model"]
) -> None:
    """Writes each direction at length 1, in float16; one of length 0 stays as it is."""
    n_units, d_model = directions.shape
    each = max(PIECE_BYTES // (2 * d_model), 1)

    def encoded(first: int) -> bytes:
        some = directions[first : first + each].astype(np.float64)
        lengths = np.sqrt((some**2).sum(axis=1, keepdims=True))
        vectors = (some / np.where(lengths > 0, lengths, 1)).astype("<f2").tobytes()
        key = b.int4(source_id), b.int4(first)
        return b.row(*key, b.raw(vectors), b.raw(hash_of(vectors).encode()))

    rows = (encoded(first) for first in range(0, n_units, each))
    b.copy_encoded(connection, "directions", _COLUMNS, rows)
