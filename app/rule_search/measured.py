"""The figures of one unit and one rule alone: what is kept with a saved hypothesis.

As the report of evidence has them, without what that compares them with, so that it costs one
atlas and a pass over the unit's entries.
"""

from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from app.models import Source
from app.rule_search import one_unit
from app.rule_search.compared import Compared, compared
from app.rule_search.intervals import count_documents
from app.rule_search.ranking import Ranked
from app.rule_search.schemas import CorpusFigures, EvidenceQuestion
from app.rule_search.service import figures_of
from app.rules.evaluation import evaluate
from app.sources.queries import find_unit


class Measured(NamedTuple):
    """The figures, and the scan whose atlas was asked."""

    scan_id: int
    figures: CorpusFigures


def measure(
    session: Session, model: str, source: str, index: int, question: EvidenceQuestion
) -> Measured:
    """The figures over the corpus asked for, or the unit's largest.

    Raises NotFound for what is not there, InvalidInput for a rule that takes too long, AtlasMissing
    and CacheUnavailable where there is nothing to hold it against.
    """
    found = find_unit(session, model, source, index)
    scan = found.scan_over(question.corpus)
    opened = compared(session, model, sources=[source], own=scan)
    _, figures = measure_over(opened, found.source, index, question)
    return Measured(scan.scan.id, CorpusFigures.model_validate(figures))


def measure_over(
    opened: Compared, source: Source, unit: int, question: EvidenceQuestion
) -> tuple[Ranked, dict[str, Any]]:
    """What was measured over one corpus's atlas, and the same as the fields of `CorpusFigures`."""
    text, atlas = opened.text, opened.atlases[opened.place_of(source)]
    matched = evaluate(question.rule, text)
    item = one_unit.evidence(atlas, unit, matched, text.documents, question.threshold)
    return item, {
        "corpus": opened.corpus,
        "n_positions": text.n_positions,
        "n_matched": len(matched),
        "n_documents": count_documents(text.documents),
        **figures_of(item),
    }
