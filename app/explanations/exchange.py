"""Explanations out of lines of JSON."""

from collections.abc import Iterable

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import exchange
from app.exchange import MAX_AUTHOR, Imported, moment, source_of
from app.explanations.schemas import MAX_TEXT, ExplanationExport
from app.models import Explanation
from app.typed_text import clean


def read_lines(session: Session, lines: Iterable[bytes]) -> Imported:
    """Adds what the lines hold and the database does not: the same words of the same author.

    Raises AppError that names the line for what is no explanation, or whose unit is not here; then
    nothing is added.
    """
    return exchange.read_lines(lines, ExplanationExport, lambda given: _add(session, given))


def _add(session: Session, given: ExplanationExport) -> bool:
    """Whether it was not there. Raises InvalidInput, NotFound."""
    added = session.scalar(
        insert(Explanation)
        .values(
            source_id=source_of(session, given).id,
            unit=given.index,
            text=clean(given.text, "text", MAX_TEXT),
            author=clean(given.author, "author", MAX_AUTHOR, is_one_line=True),
            created_at=moment(given.created_at, "created_at"),
            updated_at=moment(given.updated_at, "updated_at"),
        )
        .on_conflict_do_nothing()
        .returning(Explanation.id)
    )
    return added is not None
