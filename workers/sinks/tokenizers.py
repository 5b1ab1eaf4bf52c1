"""Writes a tokenizer and its tokens."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.models import Tokenizer
from workers.sinks.copying import copy_rows, storable
from workers.sources.language_models import LoadedModel
from workers.sources.tokenizers import TextTokenizer

_COLUMNS = (
    ("tokenizer_id", "int4"),
    ("token_id", "int4"),
    ("text", "text"),
    ("is_special", "bool"),
)
_MAX_TEXT = 600
"""Characters of a token that are kept: an index entry holds at most 2,704 bytes."""


def store_tokenizer(session: Session, model: LoadedModel) -> int:
    """The id of the model's tokenizer, written now unless it is there already.

    Every id below `n_tokens` gets a row; ids that the tokenizer skips have an empty text.
    """
    connection = session.connection()
    # One writer at a time, so that two commands with a new tokenizer agree on its row.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('unitscope.tokenizers'))"))
    tokenizer = model.tokenizer
    found = session.scalar(select(Tokenizer.id).where(Tokenizer.hash == tokenizer.hash))
    if found is not None:
        return found
    row = Tokenizer(
        hash=tokenizer.hash, n_tokens=tokenizer.n_tokens, bos_token_id=tokenizer.bos_token_id
    )
    session.add(row)
    session.flush()
    copy_rows(connection, "tokens", _COLUMNS, _rows(row.id, tokenizer))
    return row.id


def _rows(tokenizer_id: int, tokenizer: TextTokenizer) -> Iterator[tuple[Any, ...]]:
    for token_id in range(tokenizer.n_tokens):
        shown = storable(tokenizer.token_text(token_id))
        if len(shown) > _MAX_TEXT:
            shown = shown[: _MAX_TEXT - 1] + "…"
        yield tokenizer_id, token_id, shown, tokenizer.is_special(token_id)
