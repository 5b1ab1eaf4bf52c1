"""Forms that save and delete hypotheses; what was saved stands on the unit's page."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app import urls
from app.access.forms import FormFields, done, visitor
from app.hypotheses import service
from app.hypotheses.queries import get_hypothesis
from app.hypotheses.schemas import NewHypothesis
from app.rule_search.evidence_page import EvidenceForm
from app.sessions import RequestSession
from app.sources.queries import find_unit
from app.templating import go

OF_UNIT = "/{model}/{source}/{index}/hypotheses"

router = APIRouter()


@router.post(OF_UNIT)
def save_hypothesis(
    request: Request,
    session: RequestSession,
    model: str,
    source: str,
    index: int,
    fields: FormFields,
) -> Response:
    """Saves what the page of the evidence holds, and shows it on the unit's."""
    sender = visitor(request, session, fields, "hypotheses")
    form = EvidenceForm(
        fields.get("rule", ""), fields.get("corpus") or None, fields.get("threshold") or None
    )
    find_unit(session, model, source, index).scan_over(form.corpus)
    asked = form.question()
    new = NewHypothesis(
        name=fields.get("name", ""),
        rule=asked.rule,
        corpus=asked.corpus,
        threshold=asked.threshold,
    )
    saved, _ = service.save(session, model, source, index, new, sender.writer)
    return done(request, saved.links.page, sender)


@router.post("/hypotheses/{hypothesis}/delete")
def delete_hypothesis(
    request: Request, session: RequestSession, hypothesis: int, fields: FormFields
) -> Response:
    """Deletes one for good, and shows those that are left."""
    sender = visitor(request, session, fields, "hypotheses")
    was = service.delete(session, hypothesis, sender.writer)
    return done(request, urls.unit_hypotheses(was.model, was.source, was.index), sender)


@router.get(OF_UNIT, response_class=Response)
def show_of_unit(
    request: Request, session: RequestSession, model: str, source: str, index: int
) -> Response:
    """To where the unit's page shows them: the address of the form, opened as a link."""
    find_unit(session, model, source, index)
    return go(request, urls.unit_hypotheses(model, source, index))


@router.get("/hypotheses/{hypothesis}", response_class=Response)
@router.get("/hypotheses/{hypothesis}/delete", response_class=Response)
def show_hypothesis(request: Request, session: RequestSession, hypothesis: int) -> Response:
    """To where the unit's page shows it."""
    return go(request, get_hypothesis(session, hypothesis).links.page)
