"""REST: which units follow a rule, and how well a rule describes one unit."""

from typing import Annotated

from fastapi import APIRouter, Query

from app import urls
from app.cursors import DEFAULT_LIMIT
from app.parameters import (
    CorpusSlug,
    Density,
    Limit,
    ModelSlug,
    RuleText,
    SourceSlug,
    UnitIndex,
)
from app.rule_search import evidence, service
from app.rule_search.evidence_page import EvidenceForm
from app.rule_search.figures import USUAL_SORT, Figure
from app.rule_search.schemas import (
    MAX_SOURCES,
    Evidence,
    EvidenceQuestion,
    RuleAnswer,
    RuleQuestion,
    Slug,
)
from app.sessions import RequestSession
from app.units.api import CANNOT_COMPARE
from app.units.schemas import UnitKind

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
    source: Annotated[
        list[Slug] | None,
        Query(max_length=MAX_SOURCES, description="Only this source's units; may be repeated."),
    ] = None,
    corpus: CorpusSlug = None,
    kinds: Annotated[
        list[UnitKind] | None, Query(description="Only units of this kind; may be repeated.")
    ] = None,
    min_density: Density = None,
    max_density: Density = None,
    sort: Figure = USUAL_SORT,
    threshold: ThresholdText = None,
    chance: Annotated[
        bool, Query(description="Also what the best of so many units reaches by chance.")
    ] = False,
    limit: Limit = DEFAULT_LIMIT,
) -> RuleAnswer:
    """The same for a rule that fits an address: a link to an answer."""
    asked = EvidenceForm(rule, corpus, threshold).question()
    question = RuleQuestion(
        rule=asked.rule,
        sources=source or None,
        corpus=corpus,
        kinds=kinds or None,
        min_density=min_density,
        max_density=max_density,
        sort=sort,
        threshold=asked.threshold,
        chance=chance,
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
