"""Reading hypotheses: of a unit, of a model, one."""

from collections.abc import Iterator

from sqlalchemy import Row
from sqlalchemy.orm import Session

from app import urls
from app.hypotheses.schemas import Figures, HypothesisDetail, HypothesisExport, HypothesisLinks
from app.models import Hypothesis, LanguageModel, Source
from app.notes.listing import Notes
from app.rules.language import to_value
from app.rules.reading import read_json
from app.rules.text import to_text

Found = Row[Hypothesis, Source, LanguageModel]


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


_notes = Notes(Hypothesis, "hypothesis", detail)
list_of_unit = _notes.list_of_unit
list_of_model = _notes.list_of_model
get_hypothesis = _notes.get
find_hypothesis = _notes.find


def all_of_model(session: Session, model: str) -> Iterator[HypothesisExport]:
    """All of a model, the oldest first, a batch in memory at a time. Raises NotFound."""
    return (_export(row) for row in _notes.rows_of_model(session, model))


def find_named(session: Session, source_id: int, unit: int, name: str) -> Found | None:
    """The unit's hypothesis of that name."""
    query = _notes.found().where(
        Hypothesis.source_id == source_id, Hypothesis.unit == unit, Hypothesis.name == name
    )
    return session.execute(query).one_or_none()
