"""The pages of jobs. To htmx, which asks again while something is unfinished, what changes."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.jobs.pages import job_page, jobs_page
from app.sessions import RequestSession
from app.templating import answer

router = APIRouter()


@router.get("/jobs")
def show_jobs(request: Request, session: RequestSession, cursor: str | None = None) -> HTMLResponse:
    """All jobs, and the workers that are alive."""
    page = jobs_page(session, cursor or None)
    return answer(request, "jobs/index.html", {"page": page}, fragment="jobs/_list.html")


@router.get("/jobs/{job}")
def show_job(request: Request, session: RequestSession, job: int) -> HTMLResponse:
    """One job."""
    page = job_page(session, job)
    return answer(request, "jobs/show.html", {"page": page}, fragment="jobs/_progress.html")
