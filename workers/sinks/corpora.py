"""Writes a corpus: its documents and token windows, streamed by COPY, in one transaction."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Engine

from app.models import Corpus
from workers.sources.documents import Document
from workers.sources.language_models import LoadedModel
from workers.sources.windows import WindowSettings


@dataclass(frozen=True, slots=True)
class StoredCorpus:
    """A corpus in the database. `is_new`: written now. `notes`: sentences for the user."""

    corpus: Corpus
    is_new: bool
    notes: tuple[str, ...]


def store_corpus(
    engine: Engine,
    *,
    spec: str,
    slug: str | None,
    read: Callable[[], Iterable[Document]],
    model: LoadedModel,
    tokenizer_id: int,
    settings: WindowSettings,
    report: Callable[[int], None] | None = None,
) -> StoredCorpus:
    """The corpus of the documents that `read()` gives, written unless it is there already.

    `report` is told now and then how many tokens have been counted so far.
    """
    raise NotImplementedError
