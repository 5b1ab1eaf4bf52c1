"""Changing a job: cancelled, or taken up again."""

from collections.abc import Callable

from psycopg.errors import DeadlockDetected
from sqlalchemy import Engine, func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import db, partitions
from app.errors import Conflict, InvalidInput
from app.jobs.queries import MAX_ID, no_such_job
from app.models import Scan, Shard

MOST_ATTEMPTS = 3


def change(engine: Engine, how: Callable[[Session, int], None], job_id: int) -> None:
    """Changes a job (`how` is one of those below) in a transaction of its own.

    A worker that takes up a shard of a queued job locks the shard before the scan, the other way
    round than we do. Where the two meet, PostgreSQL ends one of them; if that is us, we try again.
    """
    for n_left in reversed(range(MOST_ATTEMPTS)):
        try:
            with db.session(engine) as session:
                how(session, job_id)
            return
        except OperationalError as error:
            if n_left == 0 or not isinstance(error.orig, DeadlockDetected):
                raise


def cancel(session: Session, job_id: int) -> None:
    """Ends a job that is not complete, and drops what it left, in the session's transaction.

    The scan's row is locked first, then its shards', then its tables are dropped. A worker that
    holds a shard's row is waited for; the next one finds no shard, and stops. Raises NotFound,
    and Conflict for a complete job.
    """
    scan = _locked(session, job_id)
    if scan.status == "complete":
        raise Conflict(
            f"Job {job_id} is complete, so there is nothing to cancel. Its units stay until a "
            "newer scan of the same sources takes their place."
        )
    scan.status, scan.error, scan.finished_at = "cancelled", None, session.scalar(func.now())
    session.flush()
    partitions.drop_unfinished(session, job_id)


def retry(session: Session, job_id: int) -> None:
    """Queues a failed job again: what is stored stays, and workers go on from there.

    Raises NotFound; Conflict for a job that did not fail; InvalidInput where nothing is left to
    go on from.
    """
    scan = _locked(session, job_id)
    if scan.status not in ("failed", "cancelled"):
        raise Conflict(f"Job {job_id} is {scan.status}: only a failed one can be taken up again.")
    has_shards = session.scalar(select(Shard.index).where(Shard.scan_id == job_id).limit(1))
    if scan.status == "cancelled" or has_shards is None:
        ended = "was cancelled" if scan.status == "cancelled" else "failed"
        raise InvalidInput(
            f"Job {job_id} {ended}, and nothing is left of it to go on from. Run "
            "`unitscope index` again as before: it begins a new job."
        )
    left = update(Shard).where(Shard.scan_id == job_id, Shard.status != "done")
    session.execute(left.values(n_attempts=0, error=None))
    scan.status, scan.error, scan.finished_at = "queued", None, None


def _locked(session: Session, job_id: int) -> Scan:
    """The scan's row, against all who would change it (rows may still refer to it)."""
    if 0 < job_id <= MAX_ID:
        query = select(Scan).where(Scan.id == job_id).with_for_update(key_share=True)
        if (scan := session.scalars(query).one_or_none()) is not None:
            return scan
    raise no_such_job(job_id)
