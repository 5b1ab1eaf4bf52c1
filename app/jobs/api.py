"""REST: jobs."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request

from app import urls
from app.access import bearer
from app.cursors import DEFAULT_LIMIT, Page
from app.jobs import queries, service
from app.jobs.schemas import JobDetail, JobStatus
from app.parameters import Cursor, Limit
from app.sessions import RequestSession

router = APIRouter(prefix=urls.API, tags=["jobs"])


@router.get("/jobs")
def list_jobs(
    session: RequestSession,
    status: Annotated[JobStatus | None, Query()] = None,
    model: Annotated[str | None, Query(description="A model's slug.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[JobDetail]:
    """Indexing under way and done, newest first."""
    statuses = [status] if status else []
    return queries.list_jobs(session, statuses=statuses, model=model, limit=limit, cursor=cursor)


JobNumber = Annotated[int, Path(description="A job's number.")]
WRITES: dict[str, Any] = {
    "dependencies": [Depends(bearer.may_write("jobs"))],
    "responses": bearer.RESPONSES,
}


@router.delete("/jobs/{job}", **WRITES)
def cancel_job(request: Request, session: RequestSession, job: JobNumber) -> JobDetail:
    """Ends a job that is not complete, and drops what it left; the job itself stays listed."""
    service.change(request.app.state.engine, service.cancel, job)
    return queries.get_job(session, job)


@router.post("/jobs/{job}/retry", **WRITES)
def retry_job(request: Request, session: RequestSession, job: JobNumber) -> JobDetail:
    """Queues a failed job again; workers go on from what is stored."""
    service.change(request.app.state.engine, service.retry, job)
    return queries.get_job(session, job)


@router.get("/jobs/{job}")
def get_job(session: RequestSession, job: JobNumber) -> JobDetail:
    """One job: how far it is, who works on it, what went wrong."""
    return queries.get_job(session, job)
