"""The page of the evidence on one unit and one rule."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

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
    return answer(request, "rules/evidence.html", {"page": page}, fragment="rules/_report.html")
