"""What people wrote, as lines of JSON, out of one database and into another.

What comes in keeps its author and dates: it was written elsewhere, by whoever says so; only who has
the database's own command can bring it in. Units are told by the weights of their model and source,
so that a note never lands on a unit of other weights.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import AppError, InvalidInput, NotFound
from app.models import LanguageModel, Source

MAX_AUTHOR = 100
_YEARS = range(1970, 2200)

Line = TypeVar("Line", bound=BaseModel)


class OfUnit(Protocol):
    """What a line says of the unit that it is about."""

    model: str
    source: str
    index: int
    model_weights_hash: str
    source_weights_hash: str


class Imported(NamedTuple):
    """How many lines were new, and how many were there already."""

    n_new: int
    n_known: int


def read_lines(lines: Iterable[bytes], schema: type[Line], add: Callable[[Line], bool]) -> Imported:
    """Adds what the lines hold; `add` says whether it was not there.

    Raises AppError that names the line, for what is no `schema` and for what cannot be added; the
    transaction is then to be given up.
    """
    n_new = n_known = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            is_new = add(schema.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "it"
            raise InvalidInput(f"Line {number}: {where}: {first['msg']}.") from error
        except AppError as error:
            raise type(error)(f"Line {number}: {error.message}") from error
        n_new, n_known = n_new + is_new, n_known + (not is_new)
    return Imported(n_new, n_known)


def moment(given: datetime, name: str) -> datetime:
    """A date that every database and time zone can hold. Raises InvalidInput for others."""
    if given.year not in _YEARS:
        raise InvalidInput(
            f"{name} is in the year {given.year}: wanted {_YEARS.start} to {_YEARS.stop - 1}."
        )
    return given


def source_of(session: Session, given: OfUnit) -> Source:
    """The source of the same weights, of the model of the same name if several have them.

    Raises NotFound where there is none, or it has no such unit.
    """
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
    if not 0 <= given.index < found.n_units:
        raise NotFound(f"{given.model}/{given.source} has no unit {given.index}.")
    return found
