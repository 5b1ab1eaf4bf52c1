"""What a worker's process says on its console: a line for each thing that happens.

A database that goes away is no fault of ours, and is waited for: that is said in a line by who
waits, and not again with a traceback by the queue's own tasks. Other failures keep theirs.
"""

import logging
from copy import copy

import psycopg
from procrastinate.exceptions import ConnectorException
from sqlalchemy.exc import DBAPIError


def log_to_console(level: int) -> None:
    """Sends what our own code says from `level` on, and others' warnings, to standard error."""
    handler = logging.StreamHandler()
    handler.setLevel(level)
    handler.setFormatter(_InALine("%(asctime)s %(message)s"))
    handler.addFilter(_is_news)
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler])
    logging.getLogger("unitscope").setLevel(level)


def in_a_line(error: BaseException) -> str:
    """The first line of what it says, without statements and their values."""
    if isinstance(error, ConnectorException) and error.__cause__ is not None:
        error = error.__cause__
    said = getattr(error, "message", None) or str(getattr(error, "orig", None) or error).strip()
    return next(iter(said.splitlines()), type(error).__name__)


def _is_news(record: logging.LogRecord) -> bool:
    """Not what the queue says of its database: the worker says the same, or takes no harm."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ConnectorException):
        return False
    if isinstance(error, DBAPIError):
        error = error.orig
    return not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


class _InALine(logging.Formatter):
    """Errors that are part of a message take a line."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.args, tuple):
            record = copy(record)
            given = record.args or ()
            record.args = tuple(
                in_a_line(each) if isinstance(each, Exception) else each for each in given
            )
        return super().format(record)
