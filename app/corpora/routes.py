"""The page of a corpus: where its text comes from."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.corpora.queries import get_corpus
from app.sessions import RequestSession
from app.templating import answer

router = APIRouter()


@router.get("/corpora/{corpus}")
def show_corpus(request: Request, session: RequestSession, corpus: str) -> HTMLResponse:
    """A corpus and its provenance."""
    return answer(request, "corpora/show.html", {"corpus": get_corpus(session, corpus)})
