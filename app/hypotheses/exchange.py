"""Hypotheses as lines of JSON, out of one database and into another.

What comes in keeps its figures, author and dates: it was measured elsewhere, by whoever says so;
only who has the database's own command can bring it in. Units are told by the weights of their
model and source, so that a note never lands on a unit of other weights.
"""

from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import slugs
from app.errors import AppError, InvalidInput, NotFound
from app.hypotheses.queries import every_one, find_named
from app.hypotheses.schemas import MAX_NAME, HypothesisExport, NewHypothesis
from app.hypotheses.service import evidence_of, same_as
from app.models import Hypothesis, LanguageModel, Source
from app.rules.language import to_json
from app.rules.reading import read
from app.typed_text import clean

MAX_AUTHOR = 100
MAX_VERSION = 100


class Imported(NamedTuple):
    """How many lines were new, and how many were there already."""

    n_new: int
    n_known: int


def write_lines(session: Session, model: str, to: BinaryIO) -> int:
    """Writes a model's hypotheses, the oldest first; the answer is how many. Raises NotFound."""
    n = 0
    for each in every_one(session, model):
        to.write(each.model_dump_json().encode() + b"\n")
        n += 1
    return n


def read_lines(session: Session, lines: Iterable[bytes]) -> Imported:
    """Adds what the lines hold and the database does not.

    Raises AppError that names the line for what is no hypothesis, whose unit is not here or whose
    name another one has; then nothing is added.
    """
    n_new = n_known = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            is_new = _add(session, HypothesisExport.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "it"
            raise InvalidInput(f"Line {number}: {where}: {first['msg']}.") from error
        except AppError as error:
            raise type(error)(f"Line {number}: {error.message}") from error
        n_new, n_known = n_new + is_new, n_known + (not is_new)
    return Imported(n_new, n_known)


def _add(session: Session, given: HypothesisExport) -> bool:
    """Whether it was not there. Raises Conflict, InvalidInput, NotFound."""
    source = _source_of(session, given)
    if not 0 <= given.index < source.n_units:
        raise NotFound(f"{given.model}/{given.source} has no unit {given.index}.")
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


def _source_of(session: Session, given: HypothesisExport) -> Source:
    """The source of the same weights, of the model of the same name if several have them."""
    is_same = (
        LanguageModel.weights_hash == given.model_weights_hash,
        Source.weights_hash == given.source_weights_hash,
        Source.slug == given.source,
    )
    query = (
        select(Source)
        .join(LanguageModel, LanguageModel.id == Source.language_model_id)
        .where(*is_same)
        .order_by((LanguageModel.slug == given.model).desc(), Source.id)
        .limit(1)
    )
    texts = (given.model, given.source, given.model_weights_hash, given.source_weights_hash)
    found = None if any("\0" in each for each in texts) else session.scalar(query)
    if found is None:
        raise NotFound(
            f"No source {given.source[:60]!r} of a model like {given.model[:60]!r} is here, with "
            "the same weights: index it first."
        )
    return found
