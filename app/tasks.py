"""Putting tasks into procrastinate's queue, in the session's own transaction.

A task is a word to a worker that something may be done; what is to be done stands in tables of our
own (docs/decisions/0014).
"""

from datetime import datetime, timedelta

import procrastinate
import psycopg
from procrastinate.exceptions import AlreadyEnqueued
from sqlalchemy import func, select
from sqlalchemy.orm import Session

_deferring = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


def scan_queue(scan_id: int) -> str:
    """A scan's tasks have a queue of their own, so that a worker can serve one scan alone."""
    return f"scan-{scan_id}"


def defer(
    session: Session,
    name: str,
    *,
    queue: str,
    priority: int,
    lock: str,
    seconds: float = 0.0,
    **arguments: int,
) -> None:
    """Puts a task into the queue when the transaction commits, unless one of this lock waits there.

    It may be taken after `seconds`. One transaction at a time holds a lock; another waits for it.
    """
    driver = session.connection().connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    task = _deferring.configure_task(
        name,
        allow_unknown=True,
        queue=queue,
        priority=priority,
        queueing_lock=lock,
        schedule_at=_in(session, seconds) if seconds > 0 else None,
        connection=driver,
    )
    try:
        with session.begin_nested():
            session.connection()  # the savepoint is made at the session's first use of it
            task.defer(**arguments)
    except AlreadyEnqueued:
        return


def _in(session: Session, seconds: float) -> datetime:
    """So many seconds from now, by the database's clock, which is the one that is asked."""
    now = session.scalars(select(func.clock_timestamp())).one()
    assert isinstance(now, datetime)
    return now + timedelta(seconds=seconds)
