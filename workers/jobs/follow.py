"""What a person who waits for a scan sees: a bar from the database, and what goes wrong."""

import time
from collections.abc import Callable

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import OperationalError

from app import db
from app.errors import Conflict, InvalidInput
from app.models import Scan, Shard, Worker
from workers.progress import Progress

SECONDS_OF_PATIENCE = 600.0
"""For so long a database that is away or full is waited for."""
_SECONDS_BETWEEN_LOOKS = 0.25


def follow(
    engine: Engine, scan_id: int, n_units: int, progress: Progress, check: Callable[[], None]
) -> None:
    """Returns when the scan is complete. Raises AppError, in the words of what failed.

    `check` raises where the worker in this process is of no use: nobody else may be there. A
    database that is away is waited for as long as workers wait for it.
    """
    teller = _Teller(progress, n_units)
    seen = time.monotonic()
    try:
        while True:
            check()
            try:
                with db.session(engine) as session:
                    scan = session.get_one(Scan, scan_id)
                    teller.tell(session, scan)
                seen = time.monotonic()
            except OperationalError:
                if time.monotonic() - seen > SECONDS_OF_PATIENCE:
                    raise
                teller.note("The database is away; waiting for it.")
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                continue
            if scan.status == "complete":
                return
            if scan.status == "failed":
                raise InvalidInput(scan.error or "The scan failed.")
            if scan.status == "cancelled":
                raise Conflict(f"Job {scan_id} was cancelled.")
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    finally:
        teller.finish()


class _Teller:
    """Passes on what changed since the last look."""

    def __init__(self, progress: Progress, n_units: int) -> None:
        self._progress, self._n_units = progress, n_units
        self._n_done: int | None = None
        self._said: set[str] = set()

    def tell(self, session: db.Session, scan: Scan) -> None:
        """One look."""
        n_done = min(_n_tokens_done(session, scan), scan.n_tokens)
        if self._n_done is None:
            name = f"Scanning {self._n_units:,} units"
            self._progress.start(name, scan.n_tokens, "tokens")
            self._n_done = 0
        if n_done > self._n_done:
            self._progress.advance(n_done - self._n_done)
            self._n_done = n_done
        for trouble in _troubles(session, scan.id) - self._said:
            self.note(trouble)

    def note(self, text: str) -> None:
        """Once."""
        if text not in self._said:
            self._said.add(text)
            self._progress.note(text)

    def finish(self) -> None:
        """The last look is over."""
        if self._n_done is not None:
            self._progress.finish()


def _n_tokens_done(session: db.Session, scan: Scan) -> int:
    if scan.status == "complete":
        return scan.n_tokens
    flushed = select(func.sum(Shard.n_tokens_done)).where(Shard.scan_id == scan.id)
    under_way = select(func.sum(Worker.n_tokens_done)).where(Worker.scan_id == scan.id)
    return int(session.scalar(flushed) or 0) + int(session.scalar(under_way) or 0)


def _troubles(session: db.Session, scan_id: int) -> set[str]:
    """What went wrong and will be tried again, or is being waited for."""
    shards = select(Shard.error).where(Shard.scan_id == scan_id, Shard.error.is_not(None))
    workers = select(Worker.doing).where(
        Worker.scan_id == scan_id, Worker.doing.startswith("waiting: ")
    )
    found = {f"Trying again: {error}" for error in session.scalars(shards)}
    return found | {doing.capitalize() for doing in session.scalars(workers)}
