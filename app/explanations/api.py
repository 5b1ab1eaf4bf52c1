"""REST: explanations. Reading needs no token."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from app import urls
from app.access.bearer import RESPONSES, may_write
from app.access.tokens import Writer
from app.cursors import DEFAULT_LIMIT, Page
from app.explanations import queries, service
from app.explanations.schemas import ExplanationChange, ExplanationDetail, NewExplanation
from app.parameters import Cursor, Limit, ModelSlug, SourceSlug, UnitIndex
from app.sessions import RequestSession

ExplanationId = Annotated[int, Path(description="An explanation's number.")]
ByToken = Annotated[Writer, Depends(may_write("explanations"))]
OF_UNIT = "/models/{model}/sources/{source}/units/{index}/explanations"
KNOWN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The same author said the same of the unit before: that one.",
        "model": ExplanationDetail,
    }
}

router = APIRouter(prefix=urls.API, tags=["explanations"])


@router.get(OF_UNIT)
def list_explanations_of_unit(
    session: RequestSession,
    model: ModelSlug,
    source: SourceSlug,
    index: UnitIndex,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ExplanationDetail]:
    """What people say that a unit responds to, the newest first."""
    return queries.list_of_unit(session, model, source, index, limit, cursor)


@router.post(OF_UNIT, status_code=201, responses={**RESPONSES, **KNOWN})
def write_explanation(
    response: Response,
    session: RequestSession,
    model: ModelSlug,
    source: SourceSlug,
    index: UnitIndex,
    new: NewExplanation,
    writer: ByToken,
) -> ExplanationDetail:
    """Says what a unit responds to; `Location` says where it is kept. The newest explanation takes
    the automatic label's place. The same text sent again is answered with the one that is there."""
    written, is_new = service.write(session, model, source, index, new.text, writer)
    response.headers["Location"] = written.links.self
    if not is_new:
        response.status_code = 200
    return written


@router.get("/models/{model}/explanations")
def list_explanations(
    session: RequestSession,
    model: ModelSlug,
    source: Annotated[str | None, Query(description="Only this source's.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ExplanationDetail]:
    """A model's explanations, the newest first."""
    return queries.list_of_model(session, model, source, limit, cursor)


@router.get("/explanations/{explanation}")
def get_explanation(session: RequestSession, explanation: ExplanationId) -> ExplanationDetail:
    """One explanation."""
    return queries.get_explanation(session, explanation)


@router.patch("/explanations/{explanation}", responses=RESPONSES)
def change_explanation(
    session: RequestSession,
    explanation: ExplanationId,
    wanted: ExplanationChange,
    writer: ByToken,
) -> ExplanationDetail:
    """Puts another text in its place. Only who wrote it may."""
    return service.change(session, explanation, wanted.text, writer)


@router.delete("/explanations/{explanation}", status_code=204, responses=RESPONSES)
def delete_explanation(
    session: RequestSession, explanation: ExplanationId, writer: ByToken
) -> None:
    """Deletes it for good. Only who wrote it may."""
    service.delete(session, explanation, writer)
