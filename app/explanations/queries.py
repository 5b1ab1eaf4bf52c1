"""Reading explanations: of a unit, of many units, of a model, one."""

from collections.abc import Collection, Iterator, Mapping

from sqlalchemy import Row, and_, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app import urls
from app.explanations.schemas import (
    ExplanationDetail,
    ExplanationExport,
    ExplanationLinks,
    UnitExplanation,
)
from app.models import Explanation, LanguageModel, Source
from app.notes.listing import Notes

MAX_OF_UNIT = 50

Found = Row[Explanation, Source, LanguageModel]


def newest_of(
    session: Session, units: Mapping[int, Collection[int]]
) -> dict[tuple[int, int], UnitExplanation]:
    """The newest explanation of each of `units`, indices by source id; by (source id, index).

    One query, whatever their number. Units without one are left out.
    """
    asked = [
        and_(Explanation.source_id == source_id, Explanation.unit.in_(indices))
        for source_id, indices in units.items()
        if indices
    ]
    if not asked:
        return {}
    query = (
        select(Explanation)
        .where(or_(*asked))
        .ext(distinct_on(Explanation.source_id, Explanation.unit))
        .order_by(Explanation.source_id, Explanation.unit, Explanation.id.desc())
    )
    return {
        (row.source_id, row.unit): UnitExplanation.model_validate(row)
        for row in session.scalars(query)
    }


def of_unit(session: Session, source_id: int, index: int) -> list[UnitExplanation]:
    """A unit's explanations, the newest first, at most `MAX_OF_UNIT`."""
    query = (
        select(Explanation)
        .where(Explanation.source_id == source_id, Explanation.unit == index)
        .order_by(Explanation.id.desc())
        .limit(MAX_OF_UNIT)
    )
    return [UnitExplanation.model_validate(row) for row in session.scalars(query)]


def find_same(
    session: Session, source_id: int, unit: int, author: str, text: str
) -> Explanation | None:
    """What the author said of the unit in these very words."""
    query = select(Explanation).where(
        Explanation.source_id == source_id,
        Explanation.unit == unit,
        Explanation.author == author,
        Explanation.text == text,
    )
    return session.scalars(query.limit(1)).one_or_none()


def detail(row: Found) -> ExplanationDetail:
    """An explanation for people and programs."""
    explanation, source, model = row
    return ExplanationDetail(
        **UnitExplanation.model_validate(explanation).model_dump(),
        model=model.slug,
        source=source.slug,
        index=explanation.unit,
        links=ExplanationLinks(
            self=urls.api_explanation(explanation.id),
            page=urls.unit_explanations(model.slug, source.slug, explanation.unit),
            unit=urls.api_unit(model.slug, source.slug, explanation.unit),
        ),
    )


def _export(row: Found) -> ExplanationExport:
    return ExplanationExport(
        **detail(row).model_dump(),
        model_weights_hash=row[2].weights_hash,
        source_weights_hash=row[1].weights_hash,
    )


_notes = Notes(Explanation, "explanation", detail)
list_of_unit = _notes.list_of_unit
list_of_model = _notes.list_of_model
get_explanation = _notes.get
find_explanation = _notes.find


def all_of_model(session: Session, model: str) -> Iterator[ExplanationExport]:
    """All of a model, the oldest first, a batch in memory at a time. Raises NotFound."""
    return (_export(row) for row in _notes.rows_of_model(session, model))
