"""Tokenizers and corpora in PostgreSQL: what was cut is what is stored, or nothing is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import psycopg
import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import OperationalError

from app import db
from app.errors import InvalidInput
from app.models import Corpus, Token, Tokenizer, TokenWindow
from app.models import Document as DocumentRow
from workers.sinks.copying import StorageFull
from workers.sinks.corpora import StoredCorpus, store_corpus
from workers.sinks.tokenizers import store_tokenizer
from workers.sources.documents import Document
from workers.sources.language_models import LoadedModel
from workers.sources.windows import WindowSettings, cut_windows

SETTINGS = WindowSettings(context=8, has_bos=True, is_packed=False, n_tokens=None)
DOCUMENTS = [
    Document("a.txt", "the quick brown fox jumps over the lazy dog, again and again"),
    Document("empty of tokens.txt", ""),
    Document("nul\0 and \udce9.txt", "NUL \0, </script>, \u202ertl\u202c, 👩‍👩‍👧, e\u0301, 東京"),
    Document("twice.txt", "the quick brown fox jumps over the lazy dog, again and again"),
]


@pytest.fixture
def store(engine: Engine, model: LoadedModel, tokenizer_id: int) -> Callable[..., StoredCorpus]:
    def store(
        documents: Any = DOCUMENTS, settings: WindowSettings = SETTINGS, **more: Any
    ) -> StoredCorpus:
        read = documents if callable(documents) else lambda: iter(documents)
        named = {"spec": "/some/where/My Texts", "slug": None} | more
        return store_corpus(
            engine,
            read=read,
            model=model,
            tokenizer_id=tokenizer_id,
            settings=settings,
            **named,
        )

    return store


def rows(engine: Engine, entity: Any) -> list[Any]:
    with db.session(engine) as session:
        return list(session.scalars(select(entity).order_by(*entity.__table__.primary_key)))


@pytest.mark.both_servers
def test_windows_are_stored_as_they_were_cut(
    engine: Engine, model: LoadedModel, store: Callable[..., StoredCorpus]
) -> None:
    stored = store()
    cut = list(cut_windows(DOCUMENTS, model.tokenizer, SETTINGS, model.bos_token_id))
    found: list[TokenWindow] = rows(engine, TokenWindow)
    assert len(found) == len(cut) == stored.corpus.n_windows
    for row, record in zip(found, cut, strict=True):
        assert row.corpus_id == stored.corpus.id
        assert (row.index, row.document_index) == (record.index, record.document_index)
        assert row.char_start == record.char_start
        assert np.array_equal(np.frombuffer(row.token_ids, "<u4"), record.token_ids)
        assert np.array_equal(np.frombuffer(row.starts, "<u4"), record.starts)
        assert row.text == record.text
        assert tuple(row.uncounted) == record.uncounted
        assert row.is_duplicate == record.is_duplicate
    assert any(row.is_duplicate for row in found)
    assert stored.corpus.n_tokens == sum(record.n_counted for record in cut)


def test_documents_are_stored_in_order_with_names_that_can_be_shown(
    engine: Engine, store: Callable[..., StoredCorpus]
) -> None:
    stored = store()
    found: list[DocumentRow] = rows(engine, DocumentRow)
    assert [row.index for row in found] == [0, 1, 2, 3]
    assert [row.n_chars for row in found] == [len(document.text) for document in DOCUMENTS]
    assert found[0].name == "a.txt"
    assert found[2].name == "nul\\x00 and \\udce9.txt"
    assert stored.corpus.n_documents == 4
    assert stored.corpus.details["n_chars"] == sum(len(d.text) for d in DOCUMENTS)


def test_a_corpus_knows_its_settings_and_its_name(store: Callable[..., StoredCorpus]) -> None:
    corpus = store().corpus
    assert (corpus.name, corpus.slug) == ("My Texts", "my-texts")
    assert (corpus.context, corpus.has_bos, corpus.is_packed) == (8, True, False)
    assert corpus.details["settings"]["n_tokens"] is None
    assert not corpus.details["is_cut"]


@pytest.mark.both_servers
def test_the_same_corpus_is_stored_once(
    engine: Engine, store: Callable[..., StoredCorpus], tables: Callable[[], set[str]]
) -> None:
    first = store()
    before = tables()
    again = store(slug="another-name")
    assert (first.is_new, again.is_new) == (True, False)
    assert again.corpus.id == first.corpus.id
    assert again.notes == (
        "The corpus is stored already, under the name 'my-texts', which it keeps.",
    )
    assert tables() == before
    assert len(rows(engine, Corpus)) == 1


def test_another_text_name_order_or_setting_makes_another_corpus(
    engine: Engine, store: Callable[..., StoredCorpus]
) -> None:
    store()
    renamed = [Document("b.txt", DOCUMENTS[0].text), *DOCUMENTS[1:]]
    longer = [*DOCUMENTS, Document("more.txt", "more")]
    for documents in (renamed, longer, DOCUMENTS[:1], DOCUMENTS[::-1]):
        assert store(documents).is_new
    for settings in (
        WindowSettings(9, True, False, None),
        WindowSettings(8, False, False, None),
        WindowSettings(8, True, True, None),
        WindowSettings(8, True, False, 5),
    ):
        assert store(settings=settings).is_new
    hashes = {corpus.hash for corpus in rows(engine, Corpus)}
    assert len(hashes) == 9


def test_a_taken_name_gets_a_number_and_a_note(store: Callable[..., StoredCorpus]) -> None:
    store()
    second = store(DOCUMENTS[:1])
    third = store(DOCUMENTS[2:3], slug="my-texts")
    assert (second.corpus.slug, third.corpus.slug) == ("my-texts-2", "my-texts-3")
    assert second.notes == (
        "The name 'my-texts' belongs to a corpus of other texts, another tokenizer or other window "
        "settings (--tokens, --context, --bos, --pack); this one is called 'my-texts-2'.",
    )


def test_a_corpus_of_which_the_tokenizer_leaves_nothing_is_refused(
    store: Callable[..., StoredCorpus], engine: Engine, tables: Callable[[], set[str]]
) -> None:
    before = tables()
    with pytest.raises(InvalidInput, match="My Texts' has no tokens"):
        store([Document("a.txt", "")])
    assert rows(engine, Corpus) == []
    assert tables() == before


def test_a_token_budget_ends_the_corpus_exactly_and_reads_no_further(
    engine: Engine, store: Callable[..., StoredCorpus]
) -> None:
    settings = WindowSettings(8, True, False, 10)
    corpus = store(settings=settings).corpus
    assert (corpus.n_tokens, corpus.n_documents) == (10, 1)
    assert corpus.details["is_cut"]
    assert [row.name for row in rows(engine, DocumentRow)] == ["a.txt"]
    longer = [*DOCUMENTS, Document("more.txt", "more")]
    assert not store(longer, settings).is_new  # what comes later cannot matter


def test_recognising_a_corpus_reads_no_more_documents_than_it_has(
    store: Callable[..., StoredCorpus],
) -> None:
    settings = WindowSettings(8, True, False, 10)
    store(settings=settings)
    n_read = 0

    def endless() -> Iterator[Document]:
        nonlocal n_read
        yield DOCUMENTS[0]
        while True:
            n_read += 1
            yield Document(f"{n_read}", "and on and on")

    assert not store(endless, settings).is_new
    assert n_read <= 1


def test_packed_windows_count_their_last_document(store: Callable[..., StoredCorpus]) -> None:
    corpus = store(settings=WindowSettings(1000, True, True, None)).corpus
    assert (corpus.n_windows, corpus.n_documents) == (1, 4)


@pytest.mark.both_servers
def test_an_error_on_the_way_leaves_nothing(
    engine: Engine, store: Callable[..., StoredCorpus], tables: Callable[[], set[str]]
) -> None:
    before = tables()

    def breaks() -> Iterator[Document]:
        yield from DOCUMENTS * 2000
        raise InvalidInput("line 7: no such luck")

    with pytest.raises(InvalidInput, match="line 7"):
        store(breaks)
    assert tables() == before
    assert rows(engine, Corpus) == []
    assert store().is_new


def test_readers_are_not_locked_out_while_a_corpus_is_written(
    engine: Engine, store: Callable[..., StoredCorpus]
) -> None:
    store(DOCUMENTS[:1])
    is_writing, may_end = Event(), Event()

    def waits() -> Iterator[Document]:
        yield from DOCUMENTS * 2000
        is_writing.set()
        assert may_end.wait(30)

    writer = Thread(target=store, args=(waits,))
    writer.start()
    try:
        assert is_writing.wait(30)
        with engine.connect() as connection:
            connection.execute(text("SET lock_timeout = '2s'"))
            n_seen = connection.execute(text("SELECT count(DISTINCT corpus_id) FROM windows"))
            assert n_seen.scalar_one() == 1
    finally:
        may_end.set()
        writer.join()
    assert len(rows(engine, Corpus)) == 2


def test_two_writers_of_one_corpus_make_one(
    engine: Engine, store: Callable[..., StoredCorpus], tables: Callable[[], set[str]]
) -> None:
    is_reading, may_end = Event(), Event()
    slow: list[StoredCorpus] = []

    def waits() -> Iterator[Document]:
        yield from DOCUMENTS
        is_reading.set()
        assert may_end.wait(30)

    writer = Thread(target=lambda: slow.append(store(waits)))
    writer.start()
    try:
        assert is_reading.wait(30)
        fast = store()
    finally:
        may_end.set()
        writer.join()
    assert fast.is_new and not slow[0].is_new
    assert slow[0].corpus.id == fast.corpus.id
    assert len({name for name in tables() if name.startswith("windows_")}) == 1


def test_a_full_disk_says_what_could_not_be_written(
    store: Callable[..., StoredCorpus],
    engine: Engine,
    tables: Callable[[], set[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = tables()

    def full(*_: object) -> None:
        raise psycopg.errors.DiskFull("could not extend file: No space left on device")

    monkeypatch.setattr("workers.sinks.corpora.copy_rows", full)
    with pytest.raises(StorageFull, match=r"disk .* full; the corpus .*My Texts.* Nothing of it"):
        store()
    assert tables() == before
    assert rows(engine, Corpus) == []


def test_progress_is_told_and_ends_at_the_total(store: Callable[..., StoredCorpus]) -> None:
    told: list[int] = []
    corpus = store(DOCUMENTS * 1500, report=told.append).corpus
    assert told == sorted(told)
    assert len(told) > 1
    assert told[-1] == corpus.n_tokens


@pytest.mark.both_servers
def test_a_tokenizer_is_stored_once_with_every_token(
    engine: Engine, model: LoadedModel, tokenizer_id: int
) -> None:
    with db.session(engine) as session:
        assert store_tokenizer(session, model) == tokenizer_id
        assert session.scalar(select(func.count()).select_from(Tokenizer)) == 1
        row = session.get_one(Tokenizer, tokenizer_id)
        assert (row.n_tokens, row.bos_token_id) == (model.tokenizer.n_tokens, 0)
    found: list[Token] = rows(engine, Token)
    assert [token.token_id for token in found] == list(range(model.tokenizer.n_tokens))
    by_text = {token.text: token for token in found}
    assert by_text["<|bos|>"].is_special
    assert [token.token_id for token in found if token.is_special] == [0]
    assert by_text[" the"].token_id == model.tokenizer.backend.token_to_id("Ġthe")
    assert "\\xe2" in by_text and "\\x00" in by_text and "\n" in by_text


def test_no_token_is_too_long_for_the_index(engine: Engine, tmp_path: Path) -> None:
    from types import SimpleNamespace

    from tokenizers import Tokenizer as Backend
    from tokenizers.models import WordLevel

    from workers.sources.tokenizers import TextTokenizer

    long = "".join(chr(0x4E00 + i) for i in range(5000))
    tokenizer = TextTokenizer(Backend(WordLevel({"<unk>": 0, long: 1}, unk_token="<unk>")), None)
    with db.session(engine) as session:
        store_tokenizer(session, SimpleNamespace(tokenizer=tokenizer))  # type: ignore[arg-type]
    assert len(rows(engine, Token)[1].text) == 600


@pytest.mark.both_servers
def test_a_writer_that_is_killed_leaves_nothing(
    engine: Engine, store: Callable[..., StoredCorpus], tables: Callable[[], set[str]]
) -> None:
    before = tables()

    def is_killed() -> Iterator[Document]:
        yield from DOCUMENTS * 2000
        with engine.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND state = 'idle in transaction' "
                    "AND pid <> pg_backend_pid()"
                )
            )
        yield from DOCUMENTS * 2000

    with pytest.raises((psycopg.OperationalError, OperationalError)):
        store(is_killed)
    engine.dispose()
    assert tables() == before
    assert rows(engine, Corpus) == []
    assert store().is_new
