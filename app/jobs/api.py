"""REST: jobs."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from app import urls
from app.cursors import DEFAULT_LIMIT, Page
from app.jobs import queries
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


@router.get("/jobs/{job}")
def get_job(
    session: RequestSession, job: Annotated[int, Path(description="A job's number.")]
) -> JobDetail:
    """One job: how far it is, who works on it, what went wrong."""
    return queries.get_job(session, job)
