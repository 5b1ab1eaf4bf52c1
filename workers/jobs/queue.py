"""The queue: procrastinate's tables in our database, one task a shard (those of reports on loss are
in app.loss_queue).

A task is no more than a word to a worker that a shard may be carried out; whether it really may,
and how far it is, stands in the shard's row alone. So a task that is lost is given anew by the
next sweep, and one that is delivered twice finds the shard taken. Tasks are deleted when they
return, whatever came of them.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from app import db, loss_queue, tasks
from app.models import Scan, Shard, Worker
from app.models.jobs import SECONDS_ALIVE

RUN_SHARD = "unitscope.run_shard"
_SECONDS_STALLED = 30.0
_JOBS = 10_000_000
_SECONDS_KEPT = 3600.0


def defer(session: Session, scan_id: int, priority: int, shard: int, seconds: float = 0.0) -> None:
    """Puts a shard's task into the queue when the transaction commits, unless one waits there."""
    tasks.defer(
        session,
        RUN_SHARD,
        queue=tasks.scan_queue(scan_id),
        # A job before those that came after it, to its end: also what comes into the queue late.
        priority=priority * _JOBS - scan_id,
        lock=f"{scan_id}:{shard}",
        seconds=seconds,
        scan_id=scan_id,
        shard=shard,
    )


def defer_open(session: Session, scan_id: int, priority: int) -> int:
    """Puts every shard of a scan that may be carried out now into the queue; how many there are.

    Those are the ones not done that no living worker has; the finish, once all others are done.
    """
    query = (
        select(Shard.index.label("number"), Shard.kind, is_taken().label("is_taken"))
        .where(Shard.scan_id == scan_id, Shard.status != "done")
        .order_by(Shard.index)
    )
    left = session.execute(query).all()
    is_last = all(shard.kind == "finish" for shard in left)
    waiting = set(session.scalars(_WAITING, {"queue": tasks.scan_queue(scan_id)}))
    due = [
        shard.number
        for shard in left
        if not shard.is_taken
        and (shard.kind != "finish" or is_last)
        and f"{scan_id}:{shard.number}" not in waiting
    ]
    for number in due:
        defer(session, scan_id, priority, number)
    return len(due)


def is_taken() -> Any:
    """Whether a living worker has the query's `Shard` in hand, by the shard's row and its own."""
    at_it = select(Worker.id).where(
        Worker.id == Shard.worker_id,
        Worker.scan_id == Shard.scan_id,
        Worker.shard == Shard.index,
        Worker.seen_at > func.now() - timedelta(seconds=SECONDS_ALIVE),
    )
    return (Shard.status == "running") & at_it.exists()


def is_under_way(session: Session, scan_id: int) -> bool:
    """Whether a living worker has a shard of the scan."""
    query = select(Shard.index).where(Shard.scan_id == scan_id, is_taken()).limit(1)
    return session.scalar(query) is not None


def scans_with_work(engine: Engine, queues: Sequence[str] | None) -> set[int]:
    """The jobs of these queues (None: of any) that have a shard left, in whosever hands.

    Who has it may die of it; that it is free shows only when its worker was not seen for long.
    """
    query = (
        select(Scan.id)
        .join(Shard, Shard.scan_id == Scan.id)
        .where(Scan.status.in_(("queued", "running")), Shard.status != "done")
        .distinct()
    )
    with db.session(engine) as session:
        return {
            scan_id
            for scan_id in session.scalars(query)
            if queues is None or tasks.scan_queue(scan_id) in queues
        }


def sweep(engine: Engine) -> None:
    """Makes up for what got lost: tasks of dead workers, shards without a task.

    Any worker may do it at any time; one does it at once, the others go on.
    """
    with db.session(engine) as session:
        lock = text("SELECT pg_try_advisory_xact_lock(hashtext('unitscope.sweep'))")
        if not session.scalar(lock):
            return
        session.execute(text("SET LOCAL lock_timeout = '2s'"))  # the pulse is not to wait for it
        session.execute(_DROP_STALLED, {"seconds": _SECONDS_STALLED})
        session.execute(_FORGET_WORKERS, {"seconds": _SECONDS_KEPT})
        unfinished = select(Scan.id, Scan.priority).where(Scan.status.in_(("queued", "running")))
        for scan_id, priority in session.execute(unfinished).all():
            defer_open(session, scan_id, priority)
        loss_queue.sweep(session)


def has_shards_waiting(engine: Engine) -> bool:
    """Whether a shard's task could be taken now."""
    with db.session(engine) as session:
        return bool(session.scalar(_HAS_SHARDS))


_HAS_SHARDS = text(
    "SELECT EXISTS (SELECT 1 FROM procrastinate_jobs WHERE status = 'todo' "
    "AND task_name = 'unitscope.run_shard' AND (scheduled_at IS NULL OR scheduled_at <= now()))"
)
_WAITING = text(
    "SELECT queueing_lock FROM procrastinate_jobs WHERE queue_name = :queue AND status = 'todo'"
)
# Tasks whose worker was not heard of: the shard's own row says what is left to do.
_DROP_STALLED = text(
    """
    DELETE FROM procrastinate_jobs USING procrastinate_jobs AS stalled
    LEFT JOIN procrastinate_workers AS worker ON worker.id = stalled.worker_id
    WHERE procrastinate_jobs.id = stalled.id AND stalled.status = 'doing'
        AND stalled.task_name IN ('unitscope.run_shard', 'unitscope.run_loss')
        AND (worker.id IS NULL
            OR worker.last_heartbeat < now() - make_interval(secs => :seconds))
    """
)
_FORGET_WORKERS = text(
    "DELETE FROM workers WHERE seen_at < now() - make_interval(secs => :seconds)"
)
