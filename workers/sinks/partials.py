"""Partials in the database: written by a flush, read block by block when the scan is finished.

They lie in a plain table of the scan's own, which is dropped when the scan is complete.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection, text

from app import partitions
from workers.sinks import binary_rows as b

TABLES = ("partials",)
_COLUMNS = ("scan_id", "source_id", "first_unit", "shard", "part", "payload")


@dataclass(frozen=True, slots=True)
class Block:
    """All that was flushed of one block of a source's units, in the order of shards and parts."""

    source_id: int
    first_unit: int
    payloads: list[bytes]


def prepare(connection: Connection, scan_id: int) -> None:
    """Makes the scan's table."""
    partitions.prepare(connection, TABLES, scan_id)
    table = partitions.name("partials", scan_id)
    connection.execute(text(f"CREATE UNIQUE INDEX ON {table} (source_id, first_unit, shard, part)"))


def write(
    connection: Connection,
    scan_id: int,
    shard: int,
    part: int,
    payloads: Iterable[tuple[int, int, bytes]],
) -> None:
    """Writes one flush: (source_id, first_unit, payload) of every block."""
    key = b.int4(shard), b.int4(part)
    rows = (
        b.row(b.int4(scan_id), b.int4(source_id), b.int4(first_unit), *key, b.raw(payload))
        for source_id, first_unit, payload in payloads
    )
    b.copy_encoded(connection, partitions.name("partials", scan_id), _COLUMNS, rows)


def read(connection: Connection, scan_id: int, source_id: int) -> Iterator[Block]:
    """The blocks of a source, in order of units, one at a time in memory."""
    table = partitions.name("partials", scan_id)
    query = text(
        f"SELECT first_unit, payload FROM {table} WHERE source_id = :source_id "
        "ORDER BY first_unit, shard, part"
    ).bindparams(source_id=source_id)
    found = connection.execute(query.execution_options(stream_results=True, max_row_buffer=8))
    for first_unit, rows in groupby(found, key=lambda row: row.first_unit):
        yield Block(source_id, first_unit, [bytes(row.payload) for row in rows])


def drop(connection: Connection, scan_id: int) -> None:
    """Drops the scan's table, where it is."""
    partitions.drop(connection, TABLES, scan_id)
