"""Forms that write and delete explanations; what was written stands on the unit's page."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app import urls
from app.access.forms import FormFields, done, visitor
from app.explanations import service
from app.explanations.queries import get_explanation
from app.sessions import RequestSession
from app.sources.queries import find_unit
from app.templating import go

OF_UNIT = "/{model}/{source}/{index}/explanations"

router = APIRouter()


@router.post(OF_UNIT)
def write_explanation(
    request: Request,
    session: RequestSession,
    model: str,
    source: str,
    index: int,
    fields: FormFields,
) -> Response:
    """Keeps what was typed, and shows it on the unit's page."""
    sender = visitor(request, session, fields, "explanations")
    text = fields.get("text", "")
    written, _ = service.write(session, model, source, index, text, sender.writer)
    return done(request, written.links.page, sender)


@router.post("/explanations/{explanation}/delete")
def delete_explanation(
    request: Request, session: RequestSession, explanation: int, fields: FormFields
) -> Response:
    """Deletes one for good, and shows what is left."""
    sender = visitor(request, session, fields, "explanations")
    was = service.delete(session, explanation, sender.writer)
    return done(request, was.links.page, sender)


@router.get(OF_UNIT, response_class=Response)
def show_of_unit(
    request: Request, session: RequestSession, model: str, source: str, index: int
) -> Response:
    """To where the unit's page shows them: the address of the form, opened as a link."""
    find_unit(session, model, source, index)
    return go(request, urls.unit_explanations(model, source, index))


@router.get("/explanations/{explanation}", response_class=Response)
@router.get("/explanations/{explanation}/delete", response_class=Response)
def show_explanation(request: Request, session: RequestSession, explanation: int) -> Response:
    """To where the unit's page shows it."""
    return go(request, get_explanation(session, explanation).links.page)
