"""REST: which units follow a rule, and how well a rule describes one unit."""

from fastapi import APIRouter

from app import urls
from app.parameters import ModelSlug, SourceSlug, UnitIndex
from app.rule_search import evidence, service
from app.rule_search.schemas import Evidence, EvidenceQuestion, RuleAnswer, RuleQuestion
from app.sessions import RequestSession
from app.units.api import CANNOT_COMPARE

router = APIRouter(prefix=f"{urls.API}/models/{{model}}", tags=["search"])


@router.post("/search/rule", responses=CANNOT_COMPARE)
def search_by_rule(session: RequestSession, model: ModelSlug, question: RuleQuestion) -> RuleAnswer:
    """All units ranked by how well they follow a rule, over every position of the atlas."""
    return service.search_rule(session, model, question)


@router.post("/sources/{source}/units/{index}/test", responses=CANNOT_COMPARE)
def report_evidence(
    session: RequestSession,
    model: ModelSlug,
    source: SourceSlug,
    index: UnitIndex,
    question: EvidenceQuestion,
) -> Evidence:
    """The evidence report on one unit and one rule."""
    return evidence.report_evidence(session, model, source, index, question)
