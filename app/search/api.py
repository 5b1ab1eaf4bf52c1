"""REST: simple search."""

from typing import Annotated

from fastapi import APIRouter, Query

from app import urls
from app.cursors import DEFAULT_LIMIT, Page
from app.errors import InvalidInput
from app.language_models.queries import find_model
from app.parameters import CorpusSlug, Cursor, Density, Limit, ModelSlug
from app.search import queries
from app.search.schemas import UnitHit
from app.sessions import RequestSession

router = APIRouter(prefix=urls.API, tags=["search"])


@router.get("/models/{model}/search")
def search_units(
    session: RequestSession,
    model: ModelSlug,
    q: Annotated[
        str | None, Query(max_length=400, description="A unit's address, such as `mlp-2/17`.")
    ] = None,
    token: Annotated[
        str | None,
        Query(min_length=1, max_length=200, description="Units whose activation it carries."),
    ] = None,
    logit: Annotated[
        str | None, Query(min_length=1, max_length=200, description="Units that promote it.")
    ] = None,
    source: Annotated[str | None, Query(description="Only units of this source.")] = None,
    corpus: CorpusSlug = None,
    min_density: Density = None,
    max_density: Density = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[UnitHit]:
    """Units of any source, best first. One of `q`, `token` and `logit`."""
    if q is not None:
        return _by_address(session, model, q, is_alone=token is None and logit is None)
    return queries.search_units(
        session,
        model,
        token=token,
        logit=logit,
        source=source,
        corpus=corpus,
        min_density=min_density,
        max_density=max_density,
        limit=limit,
        cursor=cursor,
    )


def _by_address(session: RequestSession, model: str, q: str, *, is_alone: bool) -> Page[UnitHit]:
    if not is_alone:
        raise InvalidInput("A search takes one of q=…, token=… and logit=…, not several.")
    find_model(session, model)
    if queries.ADDRESS.fullmatch(q.strip()) is None:
        raise InvalidInput(
            f"q={q[:80]!r} is not a unit's address, such as mlp-2/17. Units have no labels to "
            "search yet; token=… finds what units fire on, logit=… what they promote."
        )
    hits = queries.find_address(session, q, model)
    return Page(items=[hit for hit in hits if hit.model == model], next=None)
