"""One worker's hold on one shard.

Whoever has a shard writes its results in a transaction that first locks the shard's row and finds
it still its own, and as far as it left it. A worker that was thought dead and wakes up finds that
the shard has moved on, and what it brings is refused; the same shard given to two workers ends with
one of them. Rows are locked in one order everywhere: the scan's, then the shard's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.orm import Session

from app import db
from app.models import Scan, Shard, Worker
from workers.jobs import ledger, queue

MOST_ATTEMPTS = 5
_AT_LEISURE = text(
    "SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN "
    "('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')"
)
"""Large flushes take as long as they take, whatever a server grants to others."""


class ClaimLost(Exception):
    """The shard is no longer this worker's: another has it, or the scan was cancelled."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A shard in this worker's hands, from window `n_windows_done` of its order on."""

    worker_id: UUID
    scan_id: int
    index: int
    kind: str
    first_window: int
    last_window: int
    n_windows: int
    n_windows_done: int
    n_tokens_done: int
    n_attempts: int

    @property
    def batch(self) -> None:
        """No reports."""

    def is_wanted(self, session: Session) -> bool:
        """Whether the scan goes on, and the shard is with this worker."""
        query = (
            select(Scan.status)
            .join(Shard, Shard.scan_id == Scan.id)
            .where(
                Scan.id == self.scan_id,
                Shard.index == self.index,
                Shard.worker_id == self.worker_id,
            )
        )
        return session.scalar(query) in ("queued", "running")


def claim(engine: Engine, scan_id: int, index: int, worker_id: UUID) -> Claim | None:
    """The shard, if it is free and the scan goes on; None where somebody else sees to it.

    A shard that was begun too often without anything coming of it ends the scan.
    """
    with db.session(engine) as session:
        shard = _free_shard(session, scan_id, index, worker_id)
        if shard is None:
            return None
        if shard.n_attempts < MOST_ATTEMPTS:
            shard.n_attempts += 1
            shard.status, shard.worker_id, shard.updated_at = "running", worker_id, func.now()
            mine = update(Worker).where(Worker.id == worker_id)
            row = {"scan_id": scan_id, "shard": index, "batch": None, "seen_at": func.now()}
            session.execute(mine.values(**row))
            session.flush()
            return _claim(shard, worker_id)
        reason = shard.error or "its processes ended without a word, as when memory is short"
        message = (
            f"Shard {index} ({shard.kind}) was begun {shard.n_attempts} times and came to no end: "
            f"{reason}. What was scanned is kept; `unitscope jobs retry {scan_id}` goes on with it."
        )
    ledger.fail(engine, scan_id, message, is_final=False)
    return None


def _free_shard(session: Session, scan_id: int, index: int, worker_id: UUID) -> Shard | None:
    """The shard's row, locked, unless it is done, taken, or not to be done now."""
    status = session.scalar(select(Scan.status).where(Scan.id == scan_id))
    if status not in ("queued", "running"):
        return None
    if status == "queued":
        _begin_scan(session, scan_id)
    is_it = (Shard.scan_id == scan_id) & (Shard.index == index)
    query = select(Shard).where(is_it, Shard.status != "done").with_for_update(skip_locked=True)
    shard = session.scalars(query).one_or_none()
    if shard is None:
        return None
    # Asked only now: what another claimed while we looked shows once the row is locked.
    if shard.worker_id != worker_id and session.scalar(select(queue.is_taken()).where(is_it)):
        return None
    if shard.kind == "finish" and _n_open(session, scan_id) > 1:
        return None
    return shard


def _n_open(session: Session, scan_id: int) -> int:
    query = select(func.count()).where(Shard.scan_id == scan_id, Shard.status != "done")
    return session.scalar(query) or 0


def _begin_scan(session: Session, scan_id: int) -> None:
    first = update(Scan).where(Scan.id == scan_id, Scan.status == "queued")
    session.execute(
        first.values(status="running", started_at=func.coalesce(Scan.started_at, func.now()))
    )


def _claim(shard: Shard, worker_id: UUID) -> Claim:
    names = ("scan_id", "index", "kind", "first_window", "last_window", "n_windows")
    more = ("n_windows_done", "n_tokens_done", "n_attempts")
    return Claim(worker_id, **{name: getattr(shard, name) for name in (*names, *more)})


@contextmanager
def holding(engine: Engine, held: Claim, *, alone: bool = False) -> Iterator[Session]:
    """A transaction in which the shard, and its scan, stay as they are but for us.

    Raises ClaimLost before anything is written where the shard is not ours any more, or further
    than we left it. `alone`: no other shard of the scan is flushed meanwhile.
    """
    with db.session(engine) as session:
        session.execute(_AT_LEISURE)
        query = select(Scan.status).where(Scan.id == held.scan_id)
        status = session.scalar(query.with_for_update(read=not alone))
        shard = session.get(Shard, (held.scan_id, held.index), with_for_update=True)
        # What was scanned for a scan that failed meanwhile is kept for who takes it up again.
        if status not in ("queued", "running", "failed") or not _is_ours(shard, held):
            raise ClaimLost
        yield session


@contextmanager
def flushing(engine: Engine, held: Claim, n_windows: int, n_tokens: int) -> Iterator[Session]:
    """`holding`, to write what `n_windows` more windows of the shard gave.

    With its last window the shard is done; then call `offer_finish`.
    """
    with holding(engine, held) as session:
        yield session
        shard = session.get_one(Shard, (held.scan_id, held.index))
        shard.n_windows_done += n_windows
        shard.n_tokens_done += n_tokens
        shard.n_attempts, shard.error, shard.updated_at = 1, None, func.now()
        if shard.n_windows_done == shard.n_windows:
            shard.status = "done"


def offer_finish(engine: Engine, scan_id: int) -> None:
    """Puts the finish into the queue if nothing else is left.

    In a transaction of its own: two that end the last two shards at once do not see each other.
    """
    with db.session(engine) as session:
        scan = session.get(Scan, scan_id)
        if scan is not None and scan.status == "running" and _n_open(session, scan_id) == 1:
            queue.defer_open(session, scan.id, scan.priority)


def is_flushed(engine: Engine, held: Claim, n_windows: int) -> bool:
    """Whether a flush whose commit was not heard of went through all the same."""
    with db.session(engine) as session:
        shard = session.get(Shard, (held.scan_id, held.index))
        if shard is None or shard.worker_id != held.worker_id:
            return False
        is_further = shard.n_windows_done == held.n_windows_done + n_windows
        return is_further and (shard.status == "done" or n_windows > 0)


def _is_ours(shard: Shard | None, held: Claim) -> bool:
    if shard is None or shard.worker_id != held.worker_id:
        return False
    return shard.status == "running" and shard.n_windows_done == held.n_windows_done


def hand_back(
    engine: Engine,
    held: Claim,
    *,
    error: str | None = None,
    seconds: float = 0.0,
    is_counted: bool = True,
) -> None:
    """Gives the shard up for another worker, or this one, to take after `seconds`.

    Without an `error`, and where not `is_counted`, it was no fault of the shard's: the attempt does
    not count.
    """
    with db.session(engine) as session:
        shard = session.get(Shard, (held.scan_id, held.index), with_for_update=True)
        if shard is None or shard.worker_id != held.worker_id or shard.status != "running":
            return
        shard.status, shard.worker_id, shard.updated_at = "waiting", None, func.now()
        shard.error = error or shard.error
        if error is None or not is_counted:
            shard.n_attempts = max(shard.n_attempts - 1, 0)
        session.flush()
        scan = session.get_one(Scan, held.scan_id)
        if scan.status in ("queued", "running"):
            queue.defer(session, scan.id, scan.priority, held.index, seconds)
