"""The page of a model's notes."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.notes.pages import NoteKind, notes_page
from app.sessions import RequestSession
from app.templating import answer

router = APIRouter()


@router.get("/notes")
def show_notes(
    request: Request,
    session: RequestSession,
    model: str,
    kind: NoteKind = "explanations",
    cursor: str | None = None,
) -> HTMLResponse:
    """What people wrote of a model's units, the newest first."""
    page = notes_page(session, model, kind, cursor or None)
    return answer(request, "notes/show.html", {"page": page})
