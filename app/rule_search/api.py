"""REST: which units follow a rule, and how well a rule describes one unit."""

from typing import Annotated

from fastapi import APIRouter, Query

from app import urls
from app.cursors import DEFAULT_LIMIT
from app.parameters import CorpusSlug, Limit, ModelSlug, SourceSlug, UnitIndex
from app.rule_search import evidence, service
from app.rule_search.evidence_page import EvidenceForm
from app.rule_search.figures import USUAL_SORT, Figure
from app.rule_search.schemas import Evidence, EvidenceQuestion, RuleAnswer, RuleQuestion
from app.rules.given import read_rule
from app.rules.text import MAX_TEXT
from app.sessions import RequestSession
from app.units.api import CANNOT_COMPARE

RuleText = Annotated[
    str, Query(min_length=1, max_length=MAX_TEXT, description="In one line, or as JSON.")
]
ThresholdText = Annotated[str | None, Query(description="A number from 0 on, or `best`.")]

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


@router.get("/search/rule", responses=CANNOT_COMPARE)
def search_by_short_rule(
    session: RequestSession,
    model: ModelSlug,
    rule: RuleText,
    source: Annotated[str | None, Query(description="Only this source's units.")] = None,
    corpus: CorpusSlug = None,
    sort: Figure = USUAL_SORT,
    limit: Limit = DEFAULT_LIMIT,
) -> RuleAnswer:
    """The same for a rule that fits an address: a link to an answer."""
    question = RuleQuestion(
        rule=read_rule(rule),
        sources=[source] if source else None,
        corpus=corpus,
        sort=sort,
        limit=limit,
    )
    return service.search_rule(session, model, question).model_copy(update={"took_ms": None})


@router.get("/sources/{source}/units/{index}/test", responses=CANNOT_COMPARE)
def report_short_evidence(
    session: RequestSession,
    model: ModelSlug,
    source: SourceSlug,
    index: UnitIndex,
    rule: RuleText,
    corpus: CorpusSlug = None,
    threshold: ThresholdText = None,
) -> Evidence:
    """The same for a rule that fits an address: a link to a report."""
    question = EvidenceForm(rule, corpus, threshold).question()
    report = evidence.report_evidence(session, model, source, index, question)
    return report.model_copy(update={"took_ms": None})
