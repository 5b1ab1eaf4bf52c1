"""What `unitscope jobs` does."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app import db
from app.cursors import MAX_LIMIT, Page
from app.evidence.loss import count_loss
from app.jobs import console, queries, service
from app.jobs.pages import job_page
from app.jobs.schemas import JobDetail, JobStatus
from app.serving import place

N_RECENT = 10


def list_jobs(*, is_all: bool, is_json: bool) -> None:
    """Prints the unfinished jobs and the newest others; all of them where asked to."""
    with db.session(db.ready()) as session:
        workers = queries.list_workers(session)
        jobs = _all(session, ()) if is_all else _recent(session)
        losses = count_loss(session)
    if is_json:
        print(Page[JobDetail](items=jobs, next=None).model_dump_json(indent=2))
    else:
        console.print_jobs(jobs, workers, losses)


def show(job_id: int, *, is_json: bool) -> None:
    """Prints one job. Raises NotFound."""
    with db.session(db.ready()) as session:
        page = job_page(session, job_id)
    if is_json:
        print(page.job.model_dump_json(indent=2))
    else:
        console.print_job(page, f"{place(None, None).url}{page.job.links.page}")


def cancel(job_id: int) -> None:
    """Cancels one job. Raises NotFound, and Conflict for a complete one."""
    service.change(db.ready(), service.cancel, job_id)
    print(f"Job {job_id} is cancelled. Workers stop within seconds; what was flushed is dropped.")


def retry(job_id: int) -> None:
    """Queues a failed job again. Raises NotFound, Conflict and InvalidInput."""
    service.change(db.ready(), service.retry, job_id)
    print(f"Job {job_id} is queued again; it goes on from what is stored.")
    with db.session(db.ready()) as session:
        is_alone = not queries.list_workers(session)
    if is_alone:
        print("No worker is alive: `unitscope worker` starts one.")


def _all(session: Session, statuses: Sequence[JobStatus]) -> list[JobDetail]:
    """Every job of some statuses (none: of any), newest first."""
    found: list[JobDetail] = []
    cursor: str | None = None
    while True:
        jobs = queries.list_jobs(session, statuses=statuses, limit=MAX_LIMIT, cursor=cursor)
        found += jobs.items
        if (cursor := jobs.next) is None:
            return found


def _recent(session: Session) -> list[JobDetail]:
    over = queries.list_jobs(session, statuses=queries.OVER, limit=N_RECENT).items
    unfinished = _all(session, queries.UNFINISHED)
    return sorted(unfinished + over, key=lambda job: job.id, reverse=True)
