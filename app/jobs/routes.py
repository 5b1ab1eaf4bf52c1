"""The pages of jobs. To htmx, which asks again while something is unfinished, what changes."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from app import urls
from app.access.forms import FormFields, done, visitor
from app.jobs import service
from app.jobs.pages import job_page, jobs_page
from app.sessions import RequestSession
from app.templating import answer, go

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


@router.get("/jobs/{job}/cancel", response_class=Response)
@router.get("/jobs/{job}/retry", response_class=Response)
def show_changed_job(request: Request, job: int) -> Response:
    """The addresses of the forms below, opened as links."""
    return go(request, urls.job(job))


@router.post("/jobs/{job}/cancel")
def cancel_job(request: Request, session: RequestSession, job: int, fields: FormFields) -> Response:
    """Ends a job."""
    sender = visitor(request, session, fields, "jobs")
    service.change(request.app.state.engine, service.cancel, job)
    return done(request, urls.job(job), sender)


@router.post("/jobs/{job}/retry")
def retry_job(request: Request, session: RequestSession, job: int, fields: FormFields) -> Response:
    """Queues a failed job again."""
    sender = visitor(request, session, fields, "jobs")
    service.change(request.app.state.engine, service.retry, job)
    return done(request, urls.job(job), sender)
