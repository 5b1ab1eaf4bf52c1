"""REST: models."""

from fastapi import APIRouter

from app import urls
from app.cursors import DEFAULT_LIMIT, Page
from app.language_models import queries
from app.language_models.schemas import ModelDetail
from app.parameters import Cursor, Limit, ModelSlug
from app.sessions import RequestSession

router = APIRouter(prefix=urls.API, tags=["models"])


@router.get("/models")
def list_models(
    session: RequestSession, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ModelDetail]:
    """Language models with a complete scan, by slug."""
    return queries.list_models(session, limit, cursor)


@router.get("/models/{model}")
def get_model(session: RequestSession, model: ModelSlug) -> ModelDetail:
    """One model, with the provenance that identifies it."""
    return queries.get_model(session, model)
