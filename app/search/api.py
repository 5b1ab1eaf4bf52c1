"""REST: simple search."""

from typing import Annotated

from fastapi import APIRouter, Query

from app import urls
from app.cursors import DEFAULT_LIMIT, Page
from app.language_models.queries import find_model
from app.parameters import CorpusSlug, Cursor, Density, Limit, ModelSlug
from app.search import queries, words
from app.search.schemas import UnitHit
from app.sessions import RequestSession

router = APIRouter(prefix=urls.API, tags=["search"])


@router.get("/models/{model}/search")
def search_units(
    session: RequestSession,
    model: ModelSlug,
    q: Annotated[
        str | None,
        Query(
            max_length=words.MAX_WORDS,
            description="Words, all of which are to be in the unit's newest explanation by a "
            "person or, where it has none, in its automatic label; or a unit's address, such as "
            "`mlp-2/17`.",
        ),
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
    """Units of any source, best first. One of `q`, `token` and `logit`.

    By words: people's explanations first, the newest before others; then automatic labels that
    explain their units, by how much.
    """
    if q is not None and token is None and logit is None and queries.ADDRESS.fullmatch(q.strip()):
        find_model(session, model)
        hits = queries.find_address(session, q, model)
        if hits := [hit for hit in hits if hit.model == model]:
            return Page(items=hits, next=None)
    return queries.search_units(
        session,
        model,
        token=token,
        logit=logit,
        label=q,
        source=source,
        corpus=corpus,
        min_density=min_density,
        max_density=max_density,
        limit=limit,
        cursor=cursor,
    )
