"""The queue of reports on recovered loss: one task for all that are measured together.

As with shards, a task only says that there may be something to do; whose a report is and how often
it was begun stands in its row. A report is in hand while its worker is alive and that worker's row
names the same batch; so what a worker could not write down is free once it does anything else.
"""

from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select, text
from sqlalchemy.orm import Session

from app import tasks
from app.models import LossReport, Worker
from app.models.jobs import SECONDS_ALIVE

QUEUE = "loss"
RUN_LOSS = "unitscope.run_loss"
MOST_ATTEMPTS = 3
_FIRST = 2**31 - 1
"""People wait for these, and none takes long: before all shards, whatever their job's priority."""
_WITHOUT_A_WORD = "its processes ended without a word, as when memory is short"


class Group(NamedTuple):
    """Reports of one scan, source and settings, which share one model and one intact pass."""

    scan_id: int
    source_id: int
    n_windows: int
    seed: int

    @classmethod
    def of(cls, report: LossReport) -> "Group":
        """The report's."""
        return cls(report.scan_id, report.source_id, **report.settings)

    @property
    def settings(self) -> dict[str, int]:
        """As in the reports' rows."""
        return {"n_windows": self.n_windows, "seed": self.seed}

    @property
    def lock(self) -> str:
        """Of the one task that waits for it."""
        return "loss:" + ":".join(map(str, self))


def defer(session: Session, group: Group, seconds: float = 0.0) -> None:
    """Puts the group's task into the queue when the transaction commits, unless one waits there.

    To be called after all rows that the transaction locks, for it may wait for another's.
    """
    given = group._asdict()
    tasks.defer(
        session, RUN_LOSS, queue=QUEUE, priority=_FIRST, lock=group.lock, seconds=seconds, **given
    )


def is_taken() -> Any:
    """Whether a living worker has the query's `LossReport` in hand."""
    at_it = select(Worker.id).where(
        Worker.id == LossReport.worker_id, Worker.batch == LossReport.batch, is_alive()
    )
    return (LossReport.status == "running") & at_it.exists()


def is_free() -> Any:
    """Whether the query's `LossReport` may be begun now."""
    is_due = or_(LossReport.not_before.is_(None), LossReport.not_before <= func.now())
    is_left = (LossReport.status == "running") & ~is_taken()
    return (LossReport.n_attempts < MOST_ATTEMPTS) & (
        ((LossReport.status == "queued") & is_due) | is_left
    )


def is_alive() -> Any:
    """Whether the query's `Worker` was seen lately."""
    return Worker.seen_at > func.now() - timedelta(seconds=SECONDS_ALIVE)


def is_served(session: Session) -> bool:
    """Whether a worker is alive that takes reports: those of `index --wait` do not."""
    serves = or_(Worker.queues.is_(None), Worker.queues.contains([QUEUE]))
    return session.scalar(select(Worker.id).where(is_alive(), serves).limit(1)) is not None


def groups_left(session: Session) -> set[Group]:
    """Groups with a report that is neither complete nor failed, in whosever hands."""
    return _groups(session, LossReport.status.in_(("queued", "running")))


def sweep(session: Session) -> None:
    """Fails what was begun too often, and gives every group that may be begun now a task."""
    _fail_hopeless(session)
    waiting = set(session.scalars(_WAITING, {"queue": QUEUE}))
    for group in sorted(_groups(session, is_free())):
        if group.lock not in waiting:
            defer(session, group)


def begun_too_often(n_attempts: int, reason: str | None) -> str:
    """Why a report is given up."""
    return (
        f"It was begun {n_attempts} times and came to no end: {reason or _WITHOUT_A_WORD}. Once "
        "that is mended, ask for it again."
    )


def _fail_hopeless(session: Session) -> None:
    """Reports whose last attempt ended with their worker."""
    query = (
        select(LossReport)
        .where(LossReport.status == "running", LossReport.n_attempts >= MOST_ATTEMPTS, ~is_taken())
        .order_by(LossReport.id)
        .with_for_update(of=LossReport, skip_locked=True)
    )
    for report in session.scalars(query):
        report.status, report.batch = "failed", None
        report.error = begun_too_often(report.n_attempts, report.error)
    session.flush()


def _groups(session: Session, condition: Any) -> set[Group]:
    query = select(LossReport.scan_id, LossReport.source_id, LossReport.settings).where(condition)
    rows = session.execute(query.distinct())
    return {Group(scan_id, source_id, **settings) for scan_id, source_id, settings in rows}


_WAITING = text(
    "SELECT queueing_lock FROM procrastinate_jobs WHERE queue_name = :queue AND status = 'todo'"
)
