"""Having loss measured from the page of the evidence, and following it there."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app import urls
from app.access.forms import FormFields, done, visitor
from app.evidence import service
from app.evidence.part import loss_part
from app.evidence.schemas import LossQuestion
from app.rules.given import read_rule, sent_rule
from app.sessions import RequestSession
from app.templating import answer, go, wants_fragment

router = APIRouter()


@router.post("/{model}/{source}/{index}/loss")
def measure_loss(
    request: Request,
    session: RequestSession,
    model: str,
    source: str,
    index: int,
    fields: FormFields,
) -> Response:
    """Asks for a report, and goes back to the evidence."""
    sender = visitor(request, session, fields, "jobs")
    rule = read_rule(fields.get("rule", ""))
    about = service.subject(session, model, source, index, rule, fields.get("corpus") or None)
    service.ask(session, about, LossQuestion(rule=rule))
    page = urls.evidence(
        model,
        source,
        index,
        rule=sent_rule(rule),
        corpus=about.scan.corpus.slug,
        threshold=fields.get("threshold") or None,
    )
    return done(request, page, sender)


@router.get("/{model}/{source}/{index}/loss")
def show_loss(
    request: Request,
    session: RequestSession,
    model: str,
    source: str,
    index: int,
    rule: str = "",
    corpus: str | None = None,
    threshold: str | None = None,
) -> Response:
    """To htmx, how far it is; else the whole page of the evidence."""
    if not wants_fragment(request):
        page = urls.evidence(
            model, source, index, rule=rule or None, corpus=corpus, threshold=threshold
        )
        return go(request, page)
    part = loss_part(session, model, source, index, read_rule(rule), corpus, threshold)
    return answer(request, "rules/_loss.html", {"loss": part})
