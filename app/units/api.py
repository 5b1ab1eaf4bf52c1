"""REST: units, their examples, their tokens and what is like them."""

from typing import Annotated

from fastapi import APIRouter, Query

from app import urls
from app.cursors import DEFAULT_LIMIT, Page
from app.parameters import (
    CorpusSlug,
    Cursor,
    Density,
    Limit,
    ModelSlug,
    SourceSlug,
    UnitIndex,
)
from app.problems import responses
from app.sessions import RequestSession
from app.units import queries, similar
from app.units.listing import Order, SortKey
from app.units.schemas import (
    Example,
    ExampleKind,
    SimilarBy,
    SimilarUnits,
    TokenShare,
    UnitDetail,
    UnitRow,
)

router = APIRouter(prefix=f"{urls.API}/models/{{model}}/sources/{{source}}/units", tags=["units"])

LabelR2 = Annotated[
    float | None,
    Query(ge=0, le=1, allow_inf_nan=False, description="Bound on its automatic label's r2."),
]
CANNOT_COMPARE = responses(
    {409: "The source was scanned by a version that kept no atlas, or it is damaged."}
)


@router.get("")
def list_units(
    session: RequestSession,
    model: ModelSlug,
    source: SourceSlug,
    corpus: CorpusSlug = None,
    sort: Annotated[
        SortKey, Query(description="r2: of its automatic label; only units that have one.")
    ] = "index",
    order: Annotated[
        Order | None, Query(description="By default ascending by index and name, else descending.")
    ] = None,
    alive: Annotated[
        bool | None, Query(description="true: active at least once; false: never active.")
    ] = None,
    min_density: Density = None,
    max_density: Density = None,
    min_r2: LabelR2 = None,
    max_r2: LabelR2 = None,
    q: Annotated[
        str | None,
        Query(
            max_length=200,
            description="An index, or a token that carries the unit's activation or that the "
            "unit promotes.",
        ),
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[UnitRow]:
    """Rows of statistics. Filters apply before the limit; equal values go by index."""
    return queries.list_units(
        session,
        model,
        source,
        corpus=corpus,
        sort=sort,
        order=order,
        alive=alive,
        min_density=min_density,
        max_density=max_density,
        min_r2=min_r2,
        max_r2=max_r2,
        q=q,
        limit=limit,
        cursor=cursor,
    )


@router.get("/{index}")
def get_unit(
    session: RequestSession, model: ModelSlug, source: SourceSlug, index: UnitIndex
) -> UnitDetail:
    """One unit: statistics over every corpus that it was scanned on, logit lens, the units most
    like it, links."""
    unit = queries.get_unit(session, model, source, index)
    unit.neighbours = similar.neighbours(session, model, source, index)
    return unit


@router.get("/{index}/examples")
def list_examples(
    session: RequestSession,
    model: ModelSlug,
    source: SourceSlug,
    index: UnitIndex,
    kind: ExampleKind = "top",
    corpus: CorpusSlug = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[Example]:
    """Token windows with the unit's activation at every token, best first; all in one part."""
    examples = queries.list_examples(session, model, source, index, kind, corpus, limit)
    return Page(items=examples, next=None)


@router.get("/{index}/tokens")
def list_tokens(
    session: RequestSession,
    model: ModelSlug,
    source: SourceSlug,
    index: UnitIndex,
    corpus: CorpusSlug = None,
) -> Page[TokenShare]:
    """The tokens that carry most of the unit's positive activation, over the atlas sample."""
    return Page(items=queries.unit_tokens(session, model, source, index, corpus), next=None)


@router.get("/{index}/similar", responses=CANNOT_COMPARE)
def list_similar(
    session: RequestSession,
    model: ModelSlug,
    source: SourceSlug,
    index: UnitIndex,
    by: SimilarBy = "activation",
    corpus: CorpusSlug = None,
    within: Annotated[
        str | None,
        Query(alias="source", description="Only units of this source; by default of all."),
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=similar.MAX_SIMILAR, description="How many items at most.")
    ] = similar.DEFAULT_SIMILAR,
) -> SimilarUnits:
    """The units of any source of the model that are most like this one; all in one part.

    By activation: Pearson's correlation over every position of the corpus's atlas, exact for what
    the atlas stores (8-bit levels; activations below a unit's floor count as 0). By direction:
    cosine of what the units add to the residual stream. Sources that were not scanned over the same
    windows are left out.
    """
    return similar.similar_units(
        session, model, source, index, by=by, corpus=corpus, within=within, limit=limit
    )
