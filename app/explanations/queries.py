"""Reading explanations: of a unit, of many units, of a model, one."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from sqlalchemy import Row, Select, and_, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app import cursors, urls
from app.cursors import DEFAULT_LIMIT, Page
from app.errors import NotFound
from app.explanations.schemas import (
    ExplanationDetail,
    ExplanationExport,
    ExplanationLinks,
    UnitExplanation,
)
from app.language_models.queries import find_model
from app.models import Explanation, LanguageModel, Source
from app.sources.queries import find_source, find_unit

MAX_ID = 2**63 - 1
MAX_OF_UNIT = 50
BATCH = 500

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


def list_of_unit(
    session: Session,
    model: str,
    source: str,
    index: int,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[ExplanationDetail]:
    """A unit's explanations, the newest first. Raises NotFound for what is not there."""
    found = find_unit(session, model, source, index)
    query = _found().where(Explanation.source_id == found.source.id, Explanation.unit == index)
    return _page(session, query, f"explanations|{found.source.id}|{index}", limit, cursor)


def list_of_model(
    session: Session,
    model: str,
    source: str | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[ExplanationDetail]:
    """A model's explanations, or those of one of its sources, the newest first. Raises NotFound."""
    row = find_model(session, model)
    query, listing = _found().where(LanguageModel.id == row.id), f"explanations|model={row.id}"
    if source is not None:
        source_id = find_source(session, model, source).source.id
        query = query.where(Source.id == source_id)
        listing += f"|source={source_id}"
    return _page(session, query, listing, limit, cursor)


def all_of_model(session: Session, model: str) -> Iterator[ExplanationExport]:
    """All of a model, the oldest first, a batch in memory at a time. Raises NotFound."""
    query = _found().where(LanguageModel.id == find_model(session, model).id)
    last = 0
    while rows := _after(session, query, last):
        for row in rows:
            yield _export(row)
        last = rows[-1][0].id


def get_explanation(session: Session, explanation: int) -> ExplanationDetail:
    """One. Raises NotFound."""
    return detail(find_explanation(session, explanation))


def find_explanation(session: Session, explanation: int, *, is_locked: bool = False) -> Found:
    """The rows of one; locked: until the end of the transaction nobody else writes it."""
    query = _found().where(Explanation.id == explanation)
    if is_locked:
        query = query.with_for_update(of=Explanation)
    row = session.execute(query).one_or_none() if 0 < explanation <= MAX_ID else None
    if row is None:
        raise NotFound(
            f"There is no explanation {str(explanation)[:30]}: it may have been deleted."
        )
    return row


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


def _found() -> Select[Explanation, Source, LanguageModel]:
    return (
        select(Explanation, Source, LanguageModel)
        .join(Source, Source.id == Explanation.source_id)
        .join(LanguageModel, LanguageModel.id == Source.language_model_id)
    )


def _page(
    session: Session,
    query: Select[Explanation, Source, LanguageModel],
    listing: str,
    limit: int,
    cursor: str | None,
) -> Page[ExplanationDetail]:
    if cursor is not None:
        (before,) = cursors.decode(listing, cursor, (int,))
        query = query.where(Explanation.id < before)
    rows = session.execute(query.order_by(Explanation.id.desc()).limit(limit + 1)).all()
    items = [detail(row) for row in rows[:limit]]
    more = cursors.encode(listing, (items[-1].id,)) if len(rows) > limit else None
    return Page(items=items, next=more)


def _after(
    session: Session, query: Select[Explanation, Source, LanguageModel], last: int
) -> Sequence[Found]:
    part = query.where(Explanation.id > last).order_by(Explanation.id).limit(BATCH)
    return session.execute(part).all()
