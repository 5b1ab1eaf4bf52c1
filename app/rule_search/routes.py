"""The page of the evidence on one unit and one rule."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.evidence.part import loss_part
from app.rule_search.evidence_page import EvidenceForm, evidence_page
from app.sessions import RequestSession
from app.templating import answer

router = APIRouter()


@router.get("/{model}/{source}/{index}/test")
def show_evidence(
    request: Request,
    session: RequestSession,
    model: str,
    source: str,
    index: int,
    rule: str = "",
    corpus: str | None = None,
    threshold: str | None = None,
) -> HTMLResponse:
    """What speaks for a rule as a description of the unit, and what against it."""
    form = EvidenceForm(rule, corpus or None, threshold or None)
    page = evidence_page(session, model, source, index, form)
    context: dict[str, Any] = {"page": page}
    if page.report is not None:
        asked = form.question()
        context["loss"] = loss_part(
            session, model, source, index, asked.rule, form.corpus, form.threshold
        )
    return answer(request, "rules/evidence.html", context, fragment="rules/_report.html")
