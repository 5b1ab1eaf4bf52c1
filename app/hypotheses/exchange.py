"""Hypotheses out of lines of JSON. They keep the figures that they were saved with."""

from collections.abc import Iterable

from sqlalchemy.orm import Session

from app import exchange, slugs
from app.errors import InvalidInput
from app.exchange import MAX_AUTHOR, Imported, source_of
from app.hypotheses.queries import find_named
from app.hypotheses.schemas import MAX_NAME, HypothesisExport, NewHypothesis
from app.hypotheses.service import evidence_of, same_as
from app.models import Hypothesis
from app.rules.language import to_json
from app.rules.reading import read
from app.typed_text import clean

MAX_VERSION = 100


def read_lines(session: Session, lines: Iterable[bytes]) -> Imported:
    """Adds what the lines hold and the database does not.

    Raises AppError that names the line for what is no hypothesis, whose unit is not here or whose
    name another one has; then nothing is added.
    """
    return exchange.read_lines(lines, HypothesisExport, lambda given: _add(session, given))


def _add(session: Session, given: HypothesisExport) -> bool:
    """Whether it was not there. Raises Conflict, InvalidInput, NotFound."""
    source = source_of(session, given)
    if not slugs.is_slug(given.corpus):
        raise InvalidInput(f"The corpus {given.corpus[:40]!r} is no name of one.")
    name = clean(given.name, "name", MAX_NAME, is_one_line=True)
    rule, figures = read(given.rule), given.figures
    known = find_named(session, source.id, given.index, name)
    if known is not None:
        asked = figures.threshold_asked
        new = NewHypothesis(name=name, rule=rule, corpus=given.corpus, threshold=asked)
        same_as(known, new, given.corpus)
        return False
    said = clean(figures.software_version, "software_version", MAX_VERSION, is_one_line=True)
    session.add(
        Hypothesis(
            source_id=source.id,
            unit=given.index,
            name=name,
            rule=to_json(rule),
            corpus=given.corpus,
            threshold=figures.threshold,
            evidence=evidence_of(figures.model_copy(update={"software_version": said})),
            author=clean(given.author, "author", MAX_AUTHOR, is_one_line=True),
            created_at=given.created_at,
            updated_at=given.updated_at,
        )
    )
    session.flush()
    return True
