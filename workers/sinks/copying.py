"""Bulk writes by COPY, on the connection of a running transaction."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.errors import AppError


class StorageFull(AppError):
    """There is no room left where the database keeps its files."""

    status = HTTPStatus.INSUFFICIENT_STORAGE
    title = "Storage full"


def copy_rows(
    connection: Connection,
    table: str,
    columns: Sequence[tuple[str, str]],
    rows: Iterable[Sequence[Any]],
) -> None:
    """Appends `rows` to `table` in binary; `columns` are names with PostgreSQL types.

    Strings may hold neither NUL nor lone surrogates. Only trusted names go into `table`.
    """
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    names = ", ".join(f'"{name}"' for name, _ in columns)
    statement = f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)"
    with raw.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.set_types([kind for _, kind in columns])
        for row in rows:
            copy.write_row(row)


@contextmanager
def storing(what: str) -> Iterator[None]:
    """Says, when the disk is full, what was being written and that nothing of it is left."""
    try:
        yield
    except (psycopg.errors.DiskFull, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(cause, psycopg.errors.DiskFull):
            raise
        said = next(iter(str(cause).splitlines()), "no reason given")
        raise StorageFull(
            f"The disk of the database is full; {what} could not be written ({said}). Nothing of "
            "it was kept. Make room there, or set UNITSCOPE_DATA_DIR or UNITSCOPE_DATABASE_URL to "
            "a place with more, and run the same command again."
        ) from error


def storable(text: str) -> str:
    """`text` as PostgreSQL can hold it: NUL and lone surrogates become escapes."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
