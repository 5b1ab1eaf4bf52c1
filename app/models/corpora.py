"""Corpora: tokenized datasets, their documents and token windows. Tokens are stored once, here."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, LargeBinary, SmallInteger, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Corpus(Base):
    """A dataset cut into token windows by one tokenizer and one set of settings.

    `hash` identifies the content: the text, the tokenizer and the settings (context, bos, pack,
    n_tokens) that shaped the windows. The same text under another context is another corpus.
    """

    __tablename__ = "corpora"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]  # as given: `stdlib`, a file's name, `hf:…`
    hash: Mapped[str] = mapped_column(unique=True)
    tokenizer_id: Mapped[int] = mapped_column(ForeignKey("tokenizers.id"))
    context: Mapped[int]
    has_bos: Mapped[bool]
    is_packed: Mapped[bool]
    n_documents: Mapped[int]
    n_windows: Mapped[int]
    n_tokens: Mapped[int] = mapped_column(BigInteger)  # counted positions: no BOS, no padding
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Document(Base):
    """Where windows come from: a file, a line of a JSONL, a row of a Parquet file."""

    __tablename__ = "documents"
    __table_args__ = {"postgresql_partition_by": "LIST (corpus_id)"}

    corpus_id: Mapped[int] = mapped_column(primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]  # relative path, `file.jsonl:17` or `file.parquet:17`
    n_chars: Mapped[int]


class TokenWindow(Base):
    """A run of at most `context` tokens as the model read them, a put-in BOS included.

    token_ids   little-endian uint32, one a token
    starts      little-endian uint32, one a token: the character of `text` where it starts.
                Tokens that share a character (a byte-level tokenizer cuts some in pieces) start
                at the same one; a put-in token starts where the next one does.
    text        UTF-8 of the document's characters from `char_start` on: exactly what the counted
                tokens cover, cut at no character
    uncounted   positions of put-in tokens (BOS, separators), never counted anywhere
    is_duplicate  an earlier window of the corpus has the same tokens; such a window counts in
                  densities and moments but is never an example
    """

    __tablename__ = "windows"
    __table_args__ = {"postgresql_partition_by": "LIST (corpus_id)"}

    corpus_id: Mapped[int] = mapped_column(primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    document_index: Mapped[int]
    char_start: Mapped[int]
    token_ids: Mapped[bytes] = mapped_column(LargeBinary)
    starts: Mapped[bytes] = mapped_column(LargeBinary)
    text: Mapped[bytes] = mapped_column(LargeBinary)
    uncounted: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    is_duplicate: Mapped[bool]
