"""REST: sources."""

from fastapi import APIRouter

from app import urls
from app.cursors import DEFAULT_LIMIT, Page
from app.parameters import Cursor, Limit, ModelSlug, SourceSlug
from app.sessions import RequestSession
from app.sources import queries
from app.sources.schemas import SourceDetail

router = APIRouter(prefix=urls.API, tags=["sources"])


@router.get("/models/{model}/sources")
def list_sources(
    session: RequestSession, model: ModelSlug, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[SourceDetail]:
    """A model's sources by layer, then slug."""
    return queries.list_sources(session, model, limit, cursor)


@router.get("/models/{model}/sources/{source}")
def get_source(session: RequestSession, model: ModelSlug, source: SourceSlug) -> SourceDetail:
    """One source, with its current scan over each corpus."""
    return queries.get_source(session, model, source)
