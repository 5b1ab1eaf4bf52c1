"""Rows in PostgreSQL's binary COPY format, with whole arrays encoded at once.

psycopg encodes an array element by element, which for the hundreds of numbers of a unit takes
longer than computing them. Here an array of numbers becomes its bytes in one NumPy operation.
Format: the PostgreSQL manual, COPY, "Binary Format"; arrays as `array_send` writes them.
"""

import struct
from collections.abc import Iterable, Sequence

import numpy as np
import psycopg
from jaxtyping import Shaped
from sqlalchemy import Connection

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)
NULL = struct.pack(">i", -1)
# Of each element type: its OID in pg_type, and its bytes.
_ELEMENTS = {"int2": (21, ">i2"), "int4": (23, ">i4"), "float4": (700, ">f4")}


def int4(value: int) -> bytes:
    """An `integer` field."""
    return struct.pack(">ii", 4, value)


def int8(value: int) -> bytes:
    """A `bigint` field."""
    return struct.pack(">iq", 8, value)


def float4(value: float) -> bytes:
    """A `real` field."""
    return struct.pack(">if", 4, value)


def float8(value: float) -> bytes:
    """A `double precision` field."""
    return struct.pack(">id", 8, value)


def float8_or_null(value: float) -> bytes:
    """A `double precision` field; NULL for NaN."""
    return NULL if value != value else float8(value)


def raw(value: bytes) -> bytes:
    """A `bytea` field, or, from UTF-8, a `text` field."""
    return struct.pack(">i", len(value)) + value


def array(kind: str, values: Shaped[np.ndarray, " n"] | Sequence[float]) -> bytes:
    """A one-dimensional array field of `int2`, `int4` or `float4`."""
    oid, dtype = _ELEMENTS[kind]
    n = len(values)
    if n == 0:
        return raw(struct.pack(">iii", 0, 0, oid))
    element = np.dtype(dtype)
    body = np.empty(n, dtype=[("length", ">i4"), ("value", element)])
    body["length"], body["value"] = element.itemsize, values
    return raw(struct.pack(">iiiii", 1, 0, oid, n, 1) + body.tobytes())


def row(*fields: bytes) -> bytes:
    """A row of encoded fields."""
    return struct.pack(">h", len(fields)) + b"".join(fields)


def copy_encoded(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    rows: Iterable[bytes],
    *,
    is_frozen: bool = False,
) -> None:
    """Appends encoded rows to `table`, whose name must be trusted.

    `is_frozen`: the table was made in this transaction, so its rows need no later VACUUM.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    names = ", ".join(f'"{name}"' for name in columns)
    options = "FORMAT BINARY, FREEZE" if is_frozen else "FORMAT BINARY"
    statement = f"COPY {table} ({names}) FROM STDIN ({options})"
    with driver.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.write(HEADER)
        for encoded in rows:
            copy.write(encoded)
        copy.write(TRAILER)
