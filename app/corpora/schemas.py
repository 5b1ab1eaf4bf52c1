"""Corpora and their token windows as pages and REST show them."""

from typing import Any

from pydantic import BaseModel, Field


class CorpusDetail(BaseModel):
    """A tokenized dataset."""

    corpus: str
    name: str
    hash: str
    tokenizer_hash: str
    context: int
    has_bos: bool
    is_packed: bool
    n_documents: int
    n_windows: int
    n_tokens: int = Field(description="Counted positions: no BOS, no padding.")
    details: dict[str, Any]


class Window(BaseModel):
    """A token window as it was scanned."""

    window: int
    document: str
    char_start: int
    text: str
    token_ids: list[int] = Field(description="As the model read them, a put-in BOS included.")
    tokens: list[str]
    uncounted: list[int] = Field(description="Positions of put-in tokens, counted nowhere.")
    is_duplicate: bool
