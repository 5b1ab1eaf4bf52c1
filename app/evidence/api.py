"""REST: how much of a unit's part in the model's loss a rule recovers."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from app import urls
from app.access.bearer import RESPONSES, may_write
from app.evidence import service
from app.evidence.schemas import LossAnswer, LossQuestion
from app.evidence.service import Subject
from app.parameters import CorpusSlug, ModelSlug, RuleText, SourceSlug, UnitIndex
from app.rules.given import read_rule
from app.sessions import RequestSession

BY_TOKEN = [Depends(may_write("jobs"))]
ANSWERS: dict[int | str, dict[str, Any]] = {
    **RESPONSES,
    200: {"description": "It is complete, by the settings asked for.", "model": LossAnswer},
    202: {
        "description": "A worker will measure it, or does; GET what `Location` names.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    },
}

router = APIRouter(
    prefix=f"{urls.API}/models/{{model}}/sources/{{source}}/units/{{index}}", tags=["evidence"]
)


@router.post("/loss", status_code=202, responses=ANSWERS, dependencies=BY_TOKEN)
def ask_for_loss(
    response: Response,
    session: RequestSession,
    model: ModelSlug,
    source: SourceSlug,
    index: UnitIndex,
    question: LossQuestion,
) -> LossAnswer:
    """Has the loss that a rule recovers measured by a worker. What is there already by the same
    settings is answered as it is, unless `again` is asked for; other settings take its place, as a
    new attempt does of one that failed."""
    about = service.subject(session, model, source, index, question.rule, question.corpus)
    found = service.ask(session, about, question)
    response.headers["Location"] = about.href
    if found.status == "complete":
        response.status_code = 200
    return found


def _subject(
    session: RequestSession,
    model: ModelSlug,
    source: SourceSlug,
    index: UnitIndex,
    rule: RuleText,
    corpus: CorpusSlug = None,
) -> Subject:
    return service.subject(session, model, source, index, read_rule(rule), corpus)


About = Annotated[Subject, Depends(_subject)]


@router.get("/loss")
def get_loss(session: RequestSession, about: About) -> LossAnswer:
    """The report on one rule: queued, running, complete or failed; 404 where nobody asked."""
    return service.find(session, about)


@router.delete("/loss", status_code=204, responses=RESPONSES, dependencies=BY_TOKEN)
def delete_loss(session: RequestSession, about: About) -> None:
    """Takes back a report that is not complete, also one that failed; who measures it stops."""
    service.delete(session, about)
