"""Writes a corpus: its documents and token windows, streamed by COPY, in one transaction.

The hash that identifies a corpus is over the documents that its windows reach (names and texts),
the tokenizer and the settings. A corpus that is stored already is recognised by reading its
documents alone, without tokenizing them; a new one is filled into tables that become partitions at
the very end, so that an error or a kill at any moment leaves nothing, and readers never wait.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.orm import Session

from app import partitions
from app.db import session as open_session
from app.errors import InvalidInput
from app.models import Corpus
from app.slugs import slugify
from workers.sinks.copying import copy_rows, storable, storing
from workers.sources.documents import Document
from workers.sources.language_models import LoadedModel
from workers.sources.windows import WindowRecord, WindowSettings, cut_windows

FORMAT = 1
"""Goes into the hash; raise it when the same input would be cut into other windows."""
_BATCH = 2048
_WINDOW_COLUMNS = (
    ("corpus_id", "int4"),
    ("index", "int4"),
    ("document_index", "int4"),
    ("char_start", "int4"),
    ("token_ids", "bytea"),
    ("starts", "bytea"),
    ("text", "bytea"),
    ("uncounted", "int2[]"),
    ("is_duplicate", "bool"),
)
_DOCUMENT_COLUMNS = (
    ("corpus_id", "int4"),
    ("index", "int4"),
    ("name", "text"),
    ("n_chars", "int4"),
)


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

    `read` may be called twice. `slug` is asked for, not promised: if another corpus has it, the
    next free of `slug-2`, `slug-3`… is taken and a note says so. `report` is told now and then
    how many tokens have been counted so far. Raises what `read` and the tokenizer raise, and
    StorageFull; nothing is left behind then.
    """
    known = _find_stored(engine, read, model, tokenizer_id, settings)
    if known is not None:
        return _already(known, slug)
    wanted = slug or slugify(_name(spec), fallback="corpus")
    with storing(f"the corpus {spec!r}"), open_session(engine) as session:
        connection = session.connection()
        corpus_id = connection.execute(text("SELECT nextval('corpora_id_seq')")).scalar_one()
        partitions.prepare(connection, partitions.CORPUS_TABLES, corpus_id)
        writer = _Writer(connection, corpus_id, _start_digest(model, settings), report)
        ledger = _Ledger(read())
        writer.write(
            cut_windows(iter(ledger), model.tokenizer, settings, model.bos_token_id),
            ledger,
            settings,
        )
        if writer.n_windows == 0:
            raise InvalidInput(
                f"The corpus {spec!r} has no tokens: the tokenizer of {model.name} leaves nothing "
                "of its text."
            )
        known = _lock_and_find(session, writer.digest.hexdigest())
        if known is None:
            row = writer.corpus(tokenizer_id, settings)
            row.name, row.slug = _name(spec), _free_slug(session, wanted)
            session.add(row)
            session.flush()
            partitions.attach(connection, partitions.CORPUS_TABLES, corpus_id)
            return StoredCorpus(row, True, _renamed(wanted, row.slug))
        session.expunge(known)
        session.rollback()  # another process has just stored the same
    return _already(known, slug)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is kept of a document that has been read."""

    name: str
    n_chars: int
    digest: bytes


class _Ledger:
    """Documents on their way to the tokenizer, which reads ahead of the windows."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self.documents = documents
        self.ahead: deque[_Entry] = deque()
        self.n_taken = 0

    def __iter__(self) -> Iterator[Document]:
        for document in self.documents:
            self.ahead.append(_Entry(document.name, len(document.text), _digest(document)))
            yield document

    def take(self, n_documents: int | None) -> Iterator[tuple[int, _Entry]]:
        """Entries up to the first `n_documents` of the corpus (None: all), each once."""
        while self.ahead and (n_documents is None or self.n_taken < n_documents):
            self.n_taken += 1
            yield self.n_taken - 1, self.ahead.popleft()


@dataclass(slots=True)
class _Writer:
    """Fills a corpus's prepared tables and keeps its totals."""

    connection: Connection
    corpus_id: int
    digest: Any
    report: Callable[[int], None] | None
    n_windows: int = 0
    n_tokens: int = 0
    n_chars: int = 0
    n_documents: int = 0
    is_cut: bool = field(default=False)

    def write(
        self, windows: Iterator[WindowRecord], ledger: _Ledger, settings: WindowSettings
    ) -> None:
        """Writes all windows, and the documents that they reach."""
        reached = 0
        while batch := list(islice(windows, _BATCH)):
            self._write_windows(batch)
            reached = batch[-1].last_document_index + 1
            self._write_documents(ledger.take(reached))
        self.is_cut = self.n_tokens == settings.n_tokens
        if not self.is_cut:
            self._write_documents(ledger.take(None))

    def corpus(self, tokenizer_id: int, settings: WindowSettings) -> Corpus:
        """The corpus's own row, but for its name and slug."""
        return Corpus(
            id=self.corpus_id,
            hash=self.digest.hexdigest(),
            tokenizer_id=tokenizer_id,
            context=settings.context,
            has_bos=settings.has_bos,
            is_packed=settings.is_packed,
            n_documents=self.n_documents,
            n_windows=self.n_windows,
            n_tokens=self.n_tokens,
            details=_details(settings) | {"n_chars": self.n_chars, "is_cut": self.is_cut},
        )

    def _write_windows(self, batch: list[WindowRecord]) -> None:
        table = partitions.name("windows", self.corpus_id)
        rows = (_window_row(self.corpus_id, record) for record in batch)
        copy_rows(self.connection, table, _WINDOW_COLUMNS, rows)
        self.n_windows += len(batch)
        self.n_tokens += sum(record.n_counted for record in batch)
        if self.report is not None:
            self.report(self.n_tokens)

    def _write_documents(self, entries: Iterable[tuple[int, _Entry]]) -> None:
        table = partitions.name("documents", self.corpus_id)
        copy_rows(self.connection, table, _DOCUMENT_COLUMNS, map(self._document_row, entries))

    def _document_row(self, numbered: tuple[int, _Entry]) -> tuple[Any, ...]:
        index, entry = numbered
        self.digest.update(entry.digest)
        self.n_documents += 1
        self.n_chars += entry.n_chars
        return self.corpus_id, index, storable(entry.name), entry.n_chars


def _window_row(corpus_id: int, record: WindowRecord) -> tuple[Any, ...]:
    return (
        corpus_id,
        record.index,
        record.document_index,
        record.char_start,
        np.ascontiguousarray(record.token_ids, dtype="<u4").tobytes(),
        np.ascontiguousarray(record.starts, dtype="<u4").tobytes(),
        record.text,
        list(record.uncounted),
        record.is_duplicate,
    )


def _find_stored(
    engine: Engine,
    read: Callable[[], Iterable[Document]],
    model: LoadedModel,
    tokenizer_id: int,
    settings: WindowSettings,
) -> Corpus | None:
    """The corpus that these documents and settings make, if it is stored; reads no more of them
    than the longest candidate has."""
    with Session(engine, expire_on_commit=False) as session:
        candidates = session.scalars(
            select(Corpus).where(
                Corpus.tokenizer_id == tokenizer_id, Corpus.details.contains(_details(settings))
            )
        ).all()
    by_hash = {candidate.hash: candidate for candidate in candidates}
    longest = max((candidate.n_documents for candidate in candidates), default=0)
    digest = _start_digest(model, settings)
    documents = iter(read() if longest else ())
    document = next(documents, None)
    for _ in range(longest):
        if document is None:
            return None
        digest.update(_digest(document))
        document = next(documents, None)
        found = by_hash.get(digest.copy().hexdigest())
        if found is not None and (found.details["is_cut"] or document is None):
            return found
    return None


def _lock_and_find(session: Session, digest: str) -> Corpus | None:
    """Lets one process at a time name its corpus; the one that has this hash already, if any."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('unitscope.corpora'))"))
    return session.scalar(select(Corpus).where(Corpus.hash == digest))


def _free_slug(session: Session, wanted: str) -> str:
    taken = set(session.scalars(select(Corpus.slug).where(Corpus.slug.startswith(wanted))))
    number, slug = 1, wanted
    while slug in taken:
        number += 1
        slug = f"{wanted}-{number}"
    return slug


def _renamed(wanted: str, slug: str) -> tuple[str, ...]:
    if slug == wanted:
        return ()
    return (
        f"The name {wanted!r} belongs to a corpus of other texts, another tokenizer or "
        f"other window settings (--tokens, --context, --bos, --pack); this one is called {slug!r}.",
    )


def _already(corpus: Corpus, slug: str | None) -> StoredCorpus:
    if slug is None or slug == corpus.slug:
        return StoredCorpus(corpus, False, ())
    note = f"The corpus is stored already, under the name {corpus.slug!r}, which it keeps."
    return StoredCorpus(corpus, False, (note,))


def _details(settings: WindowSettings) -> dict[str, Any]:
    return {"format": FORMAT, "settings": asdict(settings)}


def _start_digest(model: LoadedModel, settings: WindowSettings) -> Any:
    header = json.dumps([_details(settings), model.tokenizer_hash], sort_keys=True)
    return hashlib.blake2b(header.encode(), digest_size=16)


def _digest(document: Document) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in (document.name, document.text):
        content = part.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.digest()


def _name(spec: str) -> str:
    """The corpus as given, less the directories of a path, which are nobody's business."""
    return spec if spec == "stdlib" or spec.startswith("hf:") else Path(spec).resolve().name
