"""REST: hypotheses. Reading needs no token."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from app import urls
from app.access.bearer import RESPONSES, may_write
from app.access.tokens import Writer
from app.cursors import DEFAULT_LIMIT, Page
from app.hypotheses import queries, service
from app.hypotheses.schemas import HypothesisChange, HypothesisDetail, NewHypothesis
from app.parameters import Cursor, Limit, ModelSlug, SourceSlug, UnitIndex
from app.sessions import RequestSession

HypothesisId = Annotated[int, Path(description="A hypothesis's number.")]
ByToken = Annotated[Writer, Depends(may_write("hypotheses"))]
OF_UNIT = "/models/{model}/sources/{source}/units/{index}/hypotheses"
KNOWN: dict[int | str, dict[str, Any]] = {
    200: {"description": "The same was saved before, and is there.", "model": HypothesisDetail}
}

router = APIRouter(prefix=urls.API, tags=["hypotheses"])


@router.get(OF_UNIT)
def list_hypotheses_of_unit(
    session: RequestSession,
    model: ModelSlug,
    source: SourceSlug,
    index: UnitIndex,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[HypothesisDetail]:
    """A unit's hypotheses with the figures that they had when they were saved, newest first."""
    return queries.list_of_unit(session, model, source, index, limit, cursor)


@router.post(OF_UNIT, status_code=201, responses={**RESPONSES, **KNOWN})
def save_hypothesis(
    response: Response,
    session: RequestSession,
    model: ModelSlug,
    source: SourceSlug,
    index: UnitIndex,
    new: NewHypothesis,
    writer: ByToken,
) -> HypothesisDetail:
    """Holds a rule against the unit and saves it under a name, with its figures; `Location` says
    where. The same one sent again is answered with the one that is there."""
    hypothesis, is_new = service.save(session, model, source, index, new, writer)
    response.headers["Location"] = hypothesis.links.self
    if not is_new:
        response.status_code = 200
    return hypothesis


@router.get("/models/{model}/hypotheses")
def list_hypotheses(
    session: RequestSession,
    model: ModelSlug,
    source: Annotated[str | None, Query(description="Only this source's.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[HypothesisDetail]:
    """A model's hypotheses, newest first."""
    return queries.list_of_model(session, model, source, limit, cursor)


@router.get("/hypotheses/{hypothesis}")
def get_hypothesis(session: RequestSession, hypothesis: HypothesisId) -> HypothesisDetail:
    """One hypothesis, with the figures that it had when it was saved."""
    return queries.get_hypothesis(session, hypothesis)


@router.patch("/hypotheses/{hypothesis}", responses=RESPONSES)
def change_hypothesis(
    session: RequestSession, hypothesis: HypothesisId, change: HypothesisChange, writer: ByToken
) -> HypothesisDetail:
    """Another name, or another rule with figures as of now. Only who saved it may."""
    return service.change(session, hypothesis, change, writer)


@router.delete("/hypotheses/{hypothesis}", status_code=204, responses=RESPONSES)
def delete_hypothesis(session: RequestSession, hypothesis: HypothesisId, writer: ByToken) -> None:
    """Deletes it for good. Only who saved it may."""
    service.delete(session, hypothesis, writer)
