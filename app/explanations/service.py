"""Writing, changing and deleting explanations. Only who wrote one may change or delete it."""

from typing import NamedTuple

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.access.tokens import Writer
from app.errors import Conflict, Forbidden, NotFound
from app.explanations.queries import (
    Found,
    detail,
    find_explanation,
    find_same,
    get_explanation,
)
from app.explanations.schemas import MAX_TEXT, ExplanationDetail
from app.models import Explanation
from app.sources.queries import find_unit
from app.typed_text import clean


class Written(NamedTuple):
    """An explanation, and whether it was not there before."""

    explanation: ExplanationDetail
    is_new: bool


def write(
    session: Session, model: str, source: str, index: int, text: str, writer: Writer
) -> Written:
    """Adds an explanation to a unit; the same one sent again is the one that is there.

    Raises NotFound for a unit that is not there, InvalidInput for a text that cannot be kept.
    """
    text = _clean(text)
    source_id = find_unit(session, model, source, index).source.id
    added = session.scalar(
        insert(Explanation)
        .values(source_id=source_id, unit=index, author=writer.name, text=text)
        .on_conflict_do_nothing()
        .returning(Explanation.id)
    )
    if added is not None:
        return Written(get_explanation(session, added), True)
    known = find_same(session, source_id, index, writer.name, text)
    try:
        if known is not None:
            return Written(get_explanation(session, known.id), False)
    except NotFound:
        pass  # somebody deletes it at this very moment
    raise Conflict("The same explanation was deleted just now: write it again.")


def change(session: Session, explanation: int, text: str, writer: Writer) -> ExplanationDetail:
    """Puts another text in its place.

    Raises NotFound, Forbidden for who did not write it, InvalidInput for a text that cannot be
    kept, Conflict where the author said the same of the unit already.
    """
    text = _clean(text)
    found = _own(session, explanation, writer)
    row = found[0]
    if text == row.text:
        return detail(found)
    try:
        with session.begin_nested():
            row.text, row.updated_at = text, func.now()
    except IntegrityError as error:
        raise Conflict(
            f"{writer.name!r} said this of unit {row.unit} already, in another explanation: change "
            "that one, or delete one of them."
        ) from error
    session.refresh(row)
    return detail(found)


def delete(session: Session, explanation: int, writer: Writer) -> ExplanationDetail:
    """Deletes it; the answer is what it was.

    Raises NotFound, Forbidden for who did not write it.
    """
    found = _own(session, explanation, writer)
    was = detail(found)
    session.delete(found[0])
    return was


def _clean(text: str) -> str:
    return clean(text, "explanation", MAX_TEXT)


def _own(session: Session, explanation: int, writer: Writer) -> Found:
    found = find_explanation(session, explanation, is_locked=True)
    if (author := found[0].author) != writer.name:
        raise Forbidden(
            f"Explanation {explanation} was written by {author!r}, and only who wrote one may "
            f"change or delete it; this token is {writer.name!r}."
        )
    return found
