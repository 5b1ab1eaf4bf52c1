"""Hypotheses out of lines of JSON. They keep the figures that they were saved with."""

from collections.abc import Iterable

from sqlalchemy.orm import Session

from app import exchange, slugs
from app.errors import InvalidInput
from app.exchange import MAX_AUTHOR, Imported, moment, source_of
from app.hypotheses.queries import find_named
from app.hypotheses.schemas import MAX_NAME, Figures, HypothesisExport, NewHypothesis
from app.hypotheses.service import evidence_of, same_as
from app.models import Hypothesis
from app.rule_search.figures import FIGURES
from app.rules.language import to_json
from app.rules.reading import read
from app.typed_text import clean

MAX_VERSION = 100
MAX_COUNT = 2**53


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
    _check(figures)
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
            created_at=moment(given.created_at, "created_at"),
            updated_at=moment(given.updated_at, "updated_at"),
        )
    )
    session.flush()
    return True


def _check(figures: Figures) -> None:
    """Raises InvalidInput for what no report could have said."""
    values = [getattr(figures, name) for name in FIGURES]
    bounds = [bound for pair in figures.ci.values() if pair is not None for bound in pair]
    counts = (figures.n_positions, figures.n_matched, figures.scan)
    counts += tuple(figures.confusion.model_dump().values())
    are_shares = all(-1 <= value <= 1 for value in (*values, *bounds) if value is not None)
    are_pairs = all(pair[0] <= pair[1] for pair in figures.ci.values() if pair is not None)
    are_counts = all(0 <= count <= MAX_COUNT for count in counts)
    is_level = 0 <= figures.threshold < MAX_COUNT
    if not (are_shares and are_pairs and are_counts and is_level):
        raise InvalidInput(
            "figures: no report says such: figures are from -1 to 1, intervals ascend, counts and "
            "the threshold are from 0 on."
        )
