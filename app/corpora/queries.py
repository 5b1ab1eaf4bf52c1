"""Reading corpora, their documents and their token windows."""

from typing import cast

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app import cursors, slugs, urls
from app.corpora.schemas import CorpusDetail, Window
from app.corpora.windows import read_windows
from app.cursors import DEFAULT_LIMIT, Page
from app.errors import NotFound
from app.language_models.queries import unknown
from app.models import Corpus, Document, Tokenizer, TokenWindow


def list_corpora(
    session: Session, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[CorpusDetail]:
    """Corpora in the order of their slugs."""
    query = (
        select(Corpus, Tokenizer.hash)
        .join(Tokenizer, Tokenizer.id == Corpus.tokenizer_id)
        .order_by(Corpus.slug)
        .limit(limit + 1)
    )
    if cursor is not None:
        (after,) = cursors.decode("corpora", cursor, (str,))
        query = query.where(Corpus.slug > after)
    rows = session.execute(query).all()
    items = [_detail(corpus, tokenizer_hash) for corpus, tokenizer_hash in rows[:limit]]
    more = cursors.encode("corpora", (items[-1].corpus,)) if len(rows) > limit else None
    return Page(items=items, next=more)


def get_corpus(session: Session, slug: str) -> CorpusDetail:
    """One corpus. Raises NotFound, naming some that there are."""
    corpus = find_corpus(session, slug)
    tokenizer = session.get_one(Tokenizer, corpus.tokenizer_id)
    return _detail(corpus, tokenizer.hash)


def find_corpus(session: Session, slug: str) -> Corpus:
    """The row of a corpus. Raises NotFound, naming some that there are."""
    if slugs.is_slug(slug):
        corpus = session.scalars(select(Corpus).where(Corpus.slug == slug)).one_or_none()
        if corpus is not None:
            return corpus
    known = session.scalars(select(Corpus.slug).order_by(Corpus.slug)).all()
    raise NotFound(unknown("corpus {}", slug, known, urls.api_corpora()))


def list_windows(
    session: Session, corpus: str, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[Window]:
    """Every window of a corpus as it was scanned, in order."""
    row = find_corpus(session, corpus)
    listing = f"windows|{row.hash}"
    after = -1
    if cursor is not None:
        after = cast("int", cursors.decode(listing, cursor, (int,))[0])
    query = (
        with_document(row.id)
        .where(TokenWindow.index > after)
        .order_by(TokenWindow.index)
        .limit(limit + 1)
    )
    found = session.execute(query).all()
    shown = [(window, document) for window, document in found[:limit]]
    more = cursors.encode(listing, (shown[-1][0].index,)) if len(found) > limit else None
    return Page(items=_windows(session, row, shown), next=more)


def with_document(corpus_id: int) -> Select[TokenWindow, str]:
    """A corpus's windows, each with its document's name."""
    return (
        select(TokenWindow, Document.name)
        .join(
            Document,
            (Document.corpus_id == corpus_id) & (Document.index == TokenWindow.document_index),
        )
        .where(TokenWindow.corpus_id == corpus_id)
    )


def _windows(
    session: Session, corpus: Corpus, windows: list[tuple[TokenWindow, str]]
) -> list[Window]:
    read = read_windows(session, corpus.tokenizer_id, [window for window, _ in windows])
    return [
        Window(
            window=window.index,
            document=document,
            char_start=window.char_start,
            text=tokens.text,
            token_ids=tokens.token_ids,
            tokens=tokens.tokens,
            uncounted=window.uncounted,
            is_duplicate=window.is_duplicate,
        )
        for (window, document), tokens in zip(windows, read, strict=True)
    ]


def _detail(corpus: Corpus, tokenizer_hash: str) -> CorpusDetail:
    return CorpusDetail(
        corpus=corpus.slug,
        name=corpus.name,
        hash=corpus.hash,
        tokenizer_hash=tokenizer_hash,
        context=corpus.context,
        has_bos=corpus.has_bos,
        is_packed=corpus.is_packed,
        n_documents=corpus.n_documents,
        n_windows=corpus.n_windows,
        n_tokens=corpus.n_tokens,
        details=corpus.details,
    )
