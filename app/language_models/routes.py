"""Home, and the page of a model."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.language_models.service import home_page, model_page
from app.sessions import RequestSession
from app.templating import answer

router = APIRouter()
home_router = APIRouter()


@home_router.get("/")
def show_home(request: Request, session: RequestSession) -> HTMLResponse:
    """Models and corpora, and one search box."""
    return answer(request, "home/show.html", {"page": home_page(session)})


@router.get("/{model}")
def show_model(
    request: Request, session: RequestSession, model: str, corpus: str | None = None
) -> HTMLResponse:
    """A model: layers × sources."""
    page = model_page(session, model, corpus or None)
    return answer(request, "language_models/show.html", {"page": page})
