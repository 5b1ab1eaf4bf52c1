"""Language models and their tokenizers."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Tokenizer(Base):
    """A tokenizer, identified by the hash of what it does to text, shared by its models."""

    __tablename__ = "tokenizers"

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(unique=True)
    n_tokens: Mapped[int]
    bos_token_id: Mapped[int | None]


class Token(Base):
    """One token. `text` is what a person reads: bytes that are not a whole character, and NUL,
    are written as escapes (`\\xe2\\x80`); `bytes` is what it adds to a document, where known."""

    __tablename__ = "tokens"
    __table_args__ = (Index("ix_tokens_text", "tokenizer_id", "text", postgresql_using="btree"),)

    tokenizer_id: Mapped[int] = mapped_column(
        ForeignKey("tokenizers.id", ondelete="CASCADE"), primary_key=True
    )
    token_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(Text)
    is_special: Mapped[bool]


class LanguageModel(Base):
    """A model whose units are looked at. Identified by the hash of its weights and config."""

    __tablename__ = "language_models"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]  # the hub id, or the last part of the directory's name
    revision: Mapped[str | None]  # the hub's commit, where it came from a hub
    weights_hash: Mapped[str]
    tokenizer_id: Mapped[int] = mapped_column(ForeignKey("tokenizers.id"))
    architecture: Mapped[str]
    n_layers: Mapped[int]
    d_model: Mapped[int]
    d_mlp: Mapped[int | None]
    d_vocab: Mapped[int]
    n_ctx: Mapped[int | None]
    n_params: Mapped[int] = mapped_column(BigInteger)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)  # activation function, norm, dtype…
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
