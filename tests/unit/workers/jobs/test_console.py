"""What a worker's process says on its console."""

import logging
from collections.abc import Iterator

import psycopg
import pytest
from procrastinate.exceptions import ConnectorException
from sqlalchemy.exc import OperationalError, ProgrammingError

from workers.jobs.console import log_to_console

GONE = psycopg.OperationalError("connection refused\n\tIs the server running?")


@pytest.fixture(autouse=True)
def _loggers() -> Iterator[None]:
    """As they are in a new process, until the test is over."""
    loggers = [logging.getLogger(name) for name in (None, "unitscope")]
    before = [(logger, logger.handlers, logger.level) for logger in loggers]
    yield
    for logger, handlers, level in before:
        logger.handlers = handlers
        logger.setLevel(level)


def open_console() -> None:
    """Here, where what is said is captured."""
    logging.getLogger().handlers = []
    log_to_console(logging.INFO)


def say(logger: str, error: Exception) -> None:
    """As the queue's own tasks do."""
    try:
        raise error
    except Exception:
        logging.getLogger(logger).exception("listener error")


def test_an_error_takes_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    open_console()
    error = OperationalError("SELECT secret", {"id": 5}, GONE)
    logging.getLogger("unitscope.worker").warning("shard %s: %s", 7, error)
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(" shard 7: connection refused")


def test_a_database_that_is_away_has_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    open_console()
    wrapped = ConnectorException()
    wrapped.__cause__ = GONE
    for error in (GONE, wrapped, OperationalError("SELECT 1", {}, GONE)):
        say("procrastinate", error)
    assert capsys.readouterr().err == ""


def test_another_failure_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    open_console()
    wrong = ProgrammingError("SELECT", {}, psycopg.errors.UndefinedTable("no such table"))
    for error in (ValueError("oh"), wrong):
        say("unitscope.worker", error)
        said = capsys.readouterr().err
        assert "Traceback" in said
        assert "listener error" in said
