"""Reading hypotheses: of a unit, of a model, one."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from app import cursors, urls
from app.cursors import DEFAULT_LIMIT, Page
from app.errors import NotFound
from app.hypotheses.schemas import Figures, HypothesisDetail, HypothesisExport, HypothesisLinks
from app.language_models.queries import find_model
from app.models import Hypothesis, LanguageModel, Source
from app.rules.language import to_value
from app.rules.reading import read_json
from app.rules.text import to_text
from app.sources.queries import find_source, find_unit

MAX_ID = 2**63 - 1
BATCH = 500

Found = Row[Hypothesis, Source, LanguageModel]


def list_of_unit(
    session: Session,
    model: str,
    source: str,
    index: int,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[HypothesisDetail]:
    """A unit's hypotheses, the newest first. Raises NotFound for what is not there."""
    found = find_unit(session, model, source, index)
    query = _found().where(Hypothesis.source_id == found.source.id, Hypothesis.unit == index)
    return _page(session, query, f"hypotheses|{found.source.id}|{index}", limit, cursor)


def list_of_model(
    session: Session,
    model: str,
    source: str | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[HypothesisDetail]:
    """A model's hypotheses, or those of one of its sources, the newest first. Raises NotFound."""
    row = find_model(session, model)
    query = _found().where(LanguageModel.id == row.id)
    listing = f"hypotheses|{row.id}"
    if source is not None:
        source_id = find_source(session, model, source).source.id
        query = query.where(Source.id == source_id)
        listing += f"|source={source_id}"
    return _page(session, query, listing, limit, cursor)


def every_one(session: Session, model: str) -> Iterator[HypothesisExport]:
    """All of a model, the oldest first, a batch in memory at a time. Raises NotFound."""
    query = _found().where(LanguageModel.id == find_model(session, model).id)
    last = 0
    while rows := _after(session, query, last):
        for row in rows:
            yield _export(row)
        last = rows[-1][0].id


def get_hypothesis(session: Session, hypothesis: int) -> HypothesisDetail:
    """One. Raises NotFound."""
    return detail(find_hypothesis(session, hypothesis))


def find_hypothesis(session: Session, hypothesis: int, *, is_locked: bool = False) -> Found:
    """The rows of one; locked: until the end of the transaction nobody else writes it."""
    query = _found().where(Hypothesis.id == hypothesis)
    if is_locked:
        query = query.with_for_update(of=Hypothesis)
    row = session.execute(query).one_or_none() if 0 < hypothesis <= MAX_ID else None
    if row is None:
        raise NotFound(f"There is no hypothesis {str(hypothesis)[:30]}: it may have been deleted.")
    return row


def find_named(session: Session, source_id: int, unit: int, name: str) -> Found | None:
    """The unit's hypothesis of that name."""
    query = _found().where(
        Hypothesis.source_id == source_id, Hypothesis.unit == unit, Hypothesis.name == name
    )
    return session.execute(query).one_or_none()


def detail(row: Found) -> HypothesisDetail:
    """A hypothesis for people and programs."""
    hypothesis, source, model = row
    rule, figures = read_json(hypothesis.rule), Figures.model_validate(hypothesis.evidence)
    return HypothesisDetail(
        id=hypothesis.id,
        model=model.slug,
        source=source.slug,
        index=hypothesis.unit,
        name=hypothesis.name,
        rule=to_value(rule),
        text=to_text(rule),
        corpus=hypothesis.corpus,
        figures=figures,
        author=hypothesis.author,
        created_at=hypothesis.created_at,
        updated_at=hypothesis.updated_at,
        links=_links(row, to_text(rule), figures),
    )


def _links(row: Found, text: str, figures: Figures) -> HypothesisLinks:
    hypothesis, source, model = row
    asked = figures.threshold_asked
    return HypothesisLinks(
        self=urls.api_hypothesis(hypothesis.id),
        page=urls.unit_hypotheses(model.slug, source.slug, hypothesis.unit, hypothesis.id),
        evidence=urls.evidence(
            model.slug,
            source.slug,
            hypothesis.unit,
            rule=text,
            corpus=hypothesis.corpus,
            threshold=str(asked) if asked else None,
        ),
        unit=urls.api_unit(model.slug, source.slug, hypothesis.unit),
    )


def _export(row: Found) -> HypothesisExport:
    return HypothesisExport(
        **detail(row).model_dump(),
        model_weights_hash=row[2].weights_hash,
        source_weights_hash=row[1].weights_hash,
    )


def _found() -> Select[Hypothesis, Source, LanguageModel]:
    return (
        select(Hypothesis, Source, LanguageModel)
        .join(Source, Source.id == Hypothesis.source_id)
        .join(LanguageModel, LanguageModel.id == Source.language_model_id)
    )


def _page(
    session: Session,
    query: Select[Hypothesis, Source, LanguageModel],
    listing: str,
    limit: int,
    cursor: str | None,
) -> Page[HypothesisDetail]:
    if cursor is not None:
        (before,) = cursors.decode(listing, cursor, (int,))
        query = query.where(Hypothesis.id < before)
    rows = session.execute(query.order_by(Hypothesis.id.desc()).limit(limit + 1)).all()
    items = [detail(row) for row in rows[:limit]]
    more = cursors.encode(listing, (items[-1].id,)) if len(rows) > limit else None
    return Page(items=items, next=more)


def _after(
    session: Session, query: Select[Hypothesis, Source, LanguageModel], last: int
) -> Sequence[Found]:
    part = query.where(Hypothesis.id > last).order_by(Hypothesis.id).limit(BATCH)
    return session.execute(part).all()
