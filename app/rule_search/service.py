"""Rule search: from a question to ranked units with what tells them apart."""

import time
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.atlas.opened import OpenAtlas
from app.atlas.queries import Candidate
from app.models import Unit, UnitStats
from app.rule_search import ranking, schemas
from app.rule_search.chance import chance
from app.rule_search.compared import Compared, compared
from app.rule_search.controls import find_controls
from app.rule_search.figures import FIGURES, Matched
from app.rule_search.intervals import count_documents
from app.rule_search.ranking import Ranked, Searched
from app.rule_search.schemas import RuleAnswer, RuleHit, RuleQuestion
from app.rules.hints import examine
from app.rules.language import to_value
from app.rules.text import to_text
from app.units.listing import row_columns, unit_rows
from app.units.schemas import UnitRow


def search_rule(session: Session, model: str, question: RuleQuestion) -> RuleAnswer:
    """All units of the model, or of the sources asked for, ranked by how they follow the rule.

    Raises NotFound for what is not there, InvalidInput for a rule that takes too long, AtlasMissing
    and CacheUnavailable where there is nothing to search.
    """
    began = time.perf_counter()
    opened = compared(
        session,
        model,
        sources=question.sources,
        kinds=question.kinds,
        corpus=question.corpus,
    )
    evaluated = examine(question.rule, opened.text)
    searched = _searched(session, opened, question)
    found = ranking.search(
        searched,
        evaluated.matched,
        opened.text.documents,
        sort=question.sort,
        limit=question.limit if len(evaluated.matched) else 0,  # nothing is ranked by nothing
        threshold=question.threshold,
        min_density=question.min_density,
        max_density=question.max_density,
    )
    return RuleAnswer(
        items=_hits(session, opened, found.items),
        rule=to_value(question.rule),
        text=to_text(question.rule),
        sort=question.sort,
        corpus=opened.corpus,
        n_units=found.n_units,
        n_defined=found.n_defined,
        n_positions=evaluated.n_examined,
        n_matched=len(evaluated.matched),
        n_documents=count_documents(opened.text.documents),
        chance=_chance(opened, searched, evaluated.matched, question),
        controls=find_controls(
            session, model, opened.corpus, question.rule, question.sort, question.threshold
        )
        if question.chance
        else [],
        hints=list(evaluated.hints),
        left_out=opened.left_out,
        took_ms=round((time.perf_counter() - began) * 1000, 3),
    )


def _searched(session: Session, opened: Compared, question: RuleQuestion) -> list[Searched]:
    """Densities are read only where they are asked about."""
    is_bounded = question.min_density is not None or question.max_density is not None
    return [
        Searched(atlas, densities=_densities(session, each) if is_bounded else None)
        for each, atlas in zip(opened.candidates, opened.atlases, strict=True)
    ]


def _densities(session: Session, each: Candidate[OpenAtlas]) -> Float64[np.ndarray, " units"]:
    assert each.scan is not None
    found = np.full(each.found.source.n_units, np.nan)
    query = select(UnitStats.index.label("unit_index"), UnitStats.density).where(
        UnitStats.scan_id == each.scan.scan.id, UnitStats.source_id == each.found.source.id
    )
    rows = session.execute(query).all()
    found[[row.unit_index for row in rows]] = [row.density for row in rows]
    return found


def _chance(
    opened: Compared, searched: Sequence[Searched], matched: Matched, question: RuleQuestion
) -> schemas.Chance | None:
    if not question.chance or len(matched) == 0:
        return None
    asked = [each.asked(question.min_density, question.max_density) for each in searched]
    found = chance(
        opened.atlases,
        matched,
        opened.text.documents,
        asked,
        sort=question.sort,
        threshold=question.threshold,
    )
    return schemas.Chance(best=list(found.best), reached=found.reached)


def _hits(session: Session, opened: Compared, items: Sequence[Ranked]) -> list[RuleHit]:
    rows: dict[tuple[int, int], UnitRow] = {}
    for place, each in enumerate(opened.candidates):
        units = [item.unit for item in items if item.source == place]
        for row in _rows(session, each, units):
            rows[place, row.index] = row
    return [
        _hit(opened.candidates[item.source], item, rows[item.source, item.unit]) for item in items
    ]


def _rows(session: Session, each: Candidate[OpenAtlas], units: list[int]) -> list[UnitRow]:
    if not units:
        return []
    assert each.scan is not None
    query = (
        select(*row_columns())
        .select_from(UnitStats)
        .outerjoin(Unit, (Unit.source_id == UnitStats.source_id) & (Unit.index == UnitStats.index))
        .where(
            UnitStats.scan_id == each.scan.scan.id,
            UnitStats.source_id == each.found.source.id,
            UnitStats.index.in_(units),
        )
    )
    return unit_rows(session, each.found, each.scan, session.execute(query).all())


def _hit(each: Candidate[OpenAtlas], item: Ranked, row: UnitRow) -> RuleHit:
    source = each.found.source
    return RuleHit(
        model=each.found.model.slug,
        source=source.slug,
        index=item.unit,
        kind=source.kind,
        layer=source.layer,
        unit=row,
        **figures_of(item),
    )


def figures_of(item: Ranked) -> dict[str, object]:
    """The fields of `RuleFigures`."""
    return {
        **{name: item.values[name] for name in FIGURES},
        "ci": item.intervals,
        "threshold": item.threshold,
        "confusion": schemas.Confusion(**item.confusion._asdict()),
    }
