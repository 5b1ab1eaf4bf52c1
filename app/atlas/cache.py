"""Local copies of atlases and directions, in folders named by the hash of what they hold.

A copy is made in a folder of another name and renamed when it is whole; it is checked from end to
end before its first use in a process, and again when its files have changed since. What does not
stand the check is thrown away and fetched again. What is read, and checked, is a copy without a
name (app.atlas.files). So the cache may be deleted, cut or scribbled on at any time, also while
servers run: an open map goes on working, and the next opening fetches.

Within a process one thread opens a copy and others wait; between processes a lock on a file does
the same for copying. Where that lock is lost, as when somebody deletes the folder, two may copy at
once: both get a whole copy, and one of them is thrown away.
"""

import errno
import fcntl
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from sqlalchemy.orm import Session

from app.atlas.errors import AtlasUnusable, CacheUnavailable, Damaged, Underived
from app.atlas.recent import Recent
from app.atlas.stored import Stored
from app.config import get_settings

T = TypeVar("T")
MAX_OPEN = 256
N_LOCKS = 64
GIGABYTE = 10**9
PART_SECONDS = 3600  # an unfinished copy older than this was left by a process that died
TOO_SOON_SECONDS = 60  # to remove what was used last
SECONDS_BETWEEN_FETCHES = 30  # of what the database holds damaged

_KEY = re.compile(r"[0-9a-f]{32}")
log = logging.getLogger("unitscope")
FileMarks = tuple[tuple[str, int, int, int], ...]


class _Open(NamedTuple):
    """What is mapped, and the marks of its files when they were checked."""

    mapped: Any
    marks: FileMarks


class Cache:
    """Copies under `folder`, of at most `limit` bytes in all, and those that are open here."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._open: Recent[str, _Open] = Recent(MAX_OPEN)
        self._refused: Recent[str, tuple[float, str]] = Recent(MAX_OPEN)
        self._locks = tuple(Lock() for _ in range(N_LOCKS))

    def open(self, session: Session, stored: Stored[T]) -> T:
        """The arrays, from the open map, the local copy or the database, whichever is there first.

        Raises AtlasUnusable for what is damaged in the database itself, CacheUnavailable where
        the folder cannot be used.
        """
        with self._locks[hash(stored.key) % N_LOCKS]:
            found = self._still_open(stored.key)
            if found is None:
                found = self._opened(session, stored)
                self._open.put(stored.key, found)
            with suppress(OSError):  # when it was used last, for `_make_room`
                os.utime(self.folder / stored.key)
            mapped: T = found.mapped
            return mapped

    def _still_open(self, key: str) -> _Open | None:
        """The open map, unless its files were changed since they were checked. Deleted ones are
        no reason: the map keeps them."""
        found = self._open.get(key)
        if found is None:
            return None
        try:
            now = _marks(self.folder / key)
        except OSError:
            return found
        return found if now == found.marks else None

    def _opened(self, session: Session, stored: Stored[T]) -> _Open:
        self._refuse_again(stored.key)
        try:
            if not _KEY.fullmatch(stored.key):
                raise Damaged(f"its hash is {stored.key[:40]!r}, not 32 hexadecimal digits")
            try:
                return self._from_disk(stored) or self._fetched(session, stored)
            except FileNotFoundError:  # somebody deleted the folder while we were at it
                return self._fetched(session, stored)
        except OSError as error:
            raise CacheUnavailable(_words(error, self.folder)) from error
        except Damaged as damage:
            words = f"{stored.name} cannot be used: {damage}. Index the source again."
            log.error("%s", words)
            self._refused.put(stored.key, (time.monotonic(), words))
            raise AtlasUnusable(words) from damage

    def _refuse_again(self, key: str) -> None:
        """Spares the database what was found damaged a moment ago."""
        refused = self._refused.get(key)
        if refused is not None and time.monotonic() - refused[0] < SECONDS_BETWEEN_FETCHES:
            raise AtlasUnusable(refused[1])

    def _from_disk(self, stored: Stored[T]) -> _Open | None:
        """The local copy, checked; None where there is none, or none any more, or no whole one."""
        folder = self.folder / stored.key
        if not folder.is_dir():
            return None
        try:
            marks = _marks(folder)
            return _Open(stored.read(folder), marks)
        except Underived as damage:
            log.warning("In the copy in %s, %s. Making it again.", folder, damage)
            return None
        except (Damaged, FileNotFoundError) as damage:
            if folder.is_dir():
                log.warning("The copy in %s is thrown away: %s. Fetching again.", folder, damage)
                self._discard(folder)
            return None

    def _fetched(self, session: Session, stored: Stored[T]) -> _Open:
        with self._alone(stored.key):
            if (found := self._from_disk(stored) or self._derived(stored)) is not None:
                return found  # another process was first, or only what is derived was missing
            self._make_room(stored)
            part = Path(tempfile.mkdtemp(".part", f"{stored.key}-", self.folder))
            try:
                stored.write(session, part)
                found = _Open(stored.read(part, is_derived=False), _marks(part))
                self._put_in_place(part, self.folder / stored.key)
                return found
            finally:
                shutil.rmtree(part, ignore_errors=True)

    def _derived(self, stored: Stored[T]) -> _Open | None:
        """The local copy with what is derived made again; None where there is no sound copy.

        Checked once more afterwards, as it may have been changed meanwhile.
        """
        folder = self.folder / stored.key
        if not folder.is_dir():
            return None
        with suppress(Damaged, FileNotFoundError):
            stored.read(folder, is_derived=False)
        return self._from_disk(stored)

    def _put_in_place(self, part: Path, folder: Path) -> None:
        try:
            part.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise  # else: there is one already, as good as ours

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Keeps other processes from copying the same at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{key}.lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _make_room(self, stored: Stored[T]) -> None:
        """Throws away what was used least recently, until the new copy fits within the limit."""
        sizes = {path: _size(path) for path in self.folder.iterdir() if path.is_dir()}
        now = time.time()
        for path in sorted(sizes, key=_used):
            is_left = path.suffix == ".part"
            if is_left and now - _used(path) < PART_SECONDS:
                continue
            if is_left or sum(sizes.values()) + stored.n_bytes > self.limit:
                if not is_left and now - _used(path) < TOO_SOON_SECONDS:
                    self._say_too_small(stored)
                log.info("Removing %s from the cache (%d bytes)", path, sizes.pop(path))
                self._discard(path)
        if stored.n_bytes > self.limit:
            self._say_too_small(stored)

    def _say_too_small(self, stored: Stored[T]) -> None:
        log.warning(
            "The cache of %.3g GB is too small for what is compared at once; %s takes %.3g GB. "
            "Set UNITSCOPE_CACHE_GB higher.",
            self.limit / GIGABYTE,
            stored.name,
            stored.n_bytes / GIGABYTE,
        )

    def _discard(self, folder: Path) -> None:
        """Out of the way at once, then off the disk; the disk has it back when no map is open."""
        self._open.drop(folder.name)
        gone = Path(tempfile.mkdtemp(".part", "gone-", self.folder))
        with suppress(FileNotFoundError):  # another process was first
            folder.rename(gone / folder.name)
        shutil.rmtree(gone, ignore_errors=True)
        with suppress(OSError):
            (self.folder / f"{folder.name}.lock").unlink()


@lru_cache(maxsize=1)
def get_cache() -> Cache:
    """The process's cache, in the data directory."""
    settings = get_settings()
    return Cache(settings.data_dir / "cache" / "atlas", int(settings.cache_gb * GIGABYTE))


def _marks(folder: Path) -> FileMarks:
    """What tells that a file was changed or replaced: its inode, its size, its time."""
    files = ((path.name, path.stat()) for path in sorted(folder.iterdir()))
    return tuple((name, each.st_ino, each.st_size, each.st_mtime_ns) for name, each in files)


def _size(folder: Path) -> int:
    with suppress(OSError):
        return sum(path.stat().st_size for path in folder.iterdir())
    return 0


def _used(folder: Path) -> float:
    with suppress(OSError):
        return folder.stat().st_mtime
    return 0.0


def _words(error: OSError, folder: Path) -> str:
    remedy = {
        errno.ENOSPC: "Free some space there",
        errno.EDQUOT: "Free some space there",
        errno.EROFS: "Make it writable for this user",
        errno.EACCES: "Make it writable for this user",
        errno.EPERM: "Make it writable for this user",
    }.get(error.errno or 0, "See to it that it is a writable directory on a local disk")
    return (
        f"The site keeps local copies of atlases in {folder}, which fails: "
        f"{error.strerror or error}. {remedy}, or choose another place with UNITSCOPE_DATA_DIR. "
        "What is in it may be deleted at any time."
    )
