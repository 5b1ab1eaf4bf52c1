"""REST: corpora and their token windows."""

from typing import Annotated

from fastapi import APIRouter, Path

from app import urls
from app.corpora import queries
from app.corpora.schemas import CorpusDetail, Window
from app.cursors import DEFAULT_LIMIT, Page
from app.parameters import Cursor, Limit
from app.sessions import RequestSession

router = APIRouter(prefix=urls.API, tags=["corpora"])
Corpus = Annotated[str, Path(description="A corpus's slug.")]


@router.get("/corpora")
def list_corpora(
    session: RequestSession, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[CorpusDetail]:
    """Tokenized datasets by slug."""
    return queries.list_corpora(session, limit, cursor)


@router.get("/corpora/{corpus}")
def get_corpus(session: RequestSession, corpus: Corpus) -> CorpusDetail:
    """One corpus, with the settings that cut it into windows."""
    return queries.get_corpus(session, corpus)


@router.get("/corpora/{corpus}/windows")
def list_windows(
    session: RequestSession, corpus: Corpus, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[Window]:
    """Every window as it was scanned, in order."""
    return queries.list_windows(session, corpus, limit, cursor)
