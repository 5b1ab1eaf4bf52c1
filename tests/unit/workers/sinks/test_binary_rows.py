"""Encoded fields equal what psycopg sends for the same values."""

import struct

import numpy as np
import psycopg
import pytest

from workers.sinks import binary_rows as b


def sent(value: object, kind: str) -> bytes:
    """The field as psycopg's own binary adapters write it."""
    oid = psycopg.adapters.types[kind].oid
    dumper = psycopg.adapters.get_dumper_by_oid(oid, psycopg.pq.Format.BINARY)(type(value), None)
    body = bytes(dumper.dump(value) or b"")
    return struct.pack(">i", len(body)) + body


def test_numbers_equal_psycopgs() -> None:
    assert b.int4(-7) == sent(-7, "int4")
    assert b.int8(2**40) == sent(2**40, "int8")
    assert b.float4(0.5) == sent(0.5, "float4")
    assert b.float8(0.1) == sent(0.1, "float8")


def test_nan_becomes_null_where_asked() -> None:
    assert b.float8_or_null(float("nan")) == b.NULL
    assert b.float8_or_null(1.5) == b.float8(1.5)


@pytest.mark.parametrize(
    ("kind", "values"),
    [("int2", [1, -2]), ("int4", [70000, 5]), ("float4", [0.5, -1.25]), ("int4", [])],
)
def test_arrays_equal_their_definition(kind: str, values: list[float]) -> None:
    oid, element = {"int2": (21, "h"), "int4": (23, "i"), "float4": (700, "f")}[kind]
    size = struct.calcsize(">" + element)
    if values:
        body = struct.pack(">iiiii", 1, 0, oid, len(values), 1)
        body += b"".join(struct.pack(f">i{element}", size, value) for value in values)
    else:
        body = struct.pack(">iii", 0, 0, oid)
    assert b.array(kind, np.array(values)) == struct.pack(">i", len(body)) + body


def test_rows_count_their_fields() -> None:
    assert b.row(b.int4(1), b.NULL) == b"\0\2" + b.int4(1) + b"\xff\xff\xff\xff"
