"""Reading language models and their vocabularies. A model is seen once a scan of it is complete."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from app import cursors, slugs, urls
from app.cursors import DEFAULT_LIMIT, Page
from app.errors import NotFound
from app.language_models.schemas import ModelDetail
from app.models import Corpus, LanguageModel, ScanSource, Source, Token, Tokenizer

N_SUGGESTED = 5
MAX_SHOWN = 60
# What tokenizers put before a word that follows a space, as `Token.text` may show it.
SPACES = (" ", "▁", "Ġ")


def list_models(
    session: Session, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[ModelDetail]:
    """Models in the order of their slugs."""
    query = _visible().order_by(LanguageModel.slug).limit(limit + 1)
    if cursor is not None:
        (after,) = cursors.decode("models", cursor, (str,))
        query = query.where(LanguageModel.slug > after)
    rows = session.execute(query).all()
    details = _details(session, [(row[0], row[1]) for row in rows[:limit]])
    more = cursors.encode("models", (details[-1].model,)) if len(rows) > limit else None
    return Page(items=details, next=more)


def get_model(session: Session, slug: str) -> ModelDetail:
    """One model. Raises NotFound, naming some that there are."""
    found = find_model(session, slug)
    tokenizer_hash = session.scalars(
        select(Tokenizer.hash).where(Tokenizer.id == found.tokenizer_id)
    ).one()
    return _details(session, [(found, tokenizer_hash)])[0]


def find_model(session: Session, slug: str) -> LanguageModel:
    """The row of a model. Raises NotFound, naming some that there are."""
    if slugs.is_slug(slug):
        query = _visible().where(LanguageModel.slug == slug)
        if (row := session.execute(query).one_or_none()) is not None:
            return row[0]
    known = session.scalars(
        select(LanguageModel.slug).where(_is_visible()).order_by(LanguageModel.slug)
    ).all()
    raise NotFound(unknown("model {}", slug, known, urls.api_models()))


def unknown(what: str, got: str, known: Iterable[str], listing: str) -> str:
    """The message for a name that is not there: some that are, and where all are listed.

    `what` has the name's place in it: `source {} of gpt2`.
    """
    names = list(known)
    shown = repr(got if len(got) <= MAX_SHOWN else got[:MAX_SHOWN] + "…")
    message = f"There is no {what.format(shown)}"
    if not names:
        return f"{message}, nor any other yet: `unitscope index` makes them."
    some = ", ".join(names[:N_SUGGESTED])
    if len(names) > N_SUGGESTED:
        return f"{message}. There are {len(names)}, such as {some}: see {listing}."
    return f"{message}. What there is: {some}."


def token_texts(session: Session, tokenizer_id: int, token_ids: Iterable[int]) -> dict[int, str]:
    """What a person reads for each token; ids that the tokenizer does not have as `<id>`."""
    wanted = sorted(set(token_ids))
    if not wanted:
        return {}
    query = select(Token.token_id, Token.text).where(
        Token.tokenizer_id == tokenizer_id, Token.token_id == func.any(wanted)
    )
    found = dict(session.execute(query).all())
    return {token_id: found.get(token_id, f"<{token_id}>") for token_id in wanted}


def find_tokens(session: Session, tokenizer_id: int, text: str) -> dict[int, str]:
    """Tokens that read exactly `text`, or `text` after a space; empty where there are none."""
    text = text.replace("\0", "\\x00")  # as Token.text writes NUL, which PostgreSQL cannot hold
    forms = [text] if text.startswith(SPACES) else [text, *(space + text for space in SPACES)]
    query = select(Token.token_id, Token.text).where(
        Token.tokenizer_id == tokenizer_id, Token.text.in_(forms)
    )
    return dict(session.execute(query).all())


def similar_tokens(session: Session, tokenizer_id: int, text: str) -> list[str]:
    """A few tokens that contain the first letters of `text`, for a message."""
    start = text.strip().replace("\0", "")[:3].lower()
    if not start:
        return []
    query = (
        select(Token.text)
        .where(
            Token.tokenizer_id == tokenizer_id,
            func.lower(Token.text).contains(start, autoescape=True),
        )
        .order_by(func.length(Token.text), Token.token_id)
        .limit(N_SUGGESTED)
    )
    return list(session.scalars(query))


@dataclass(frozen=True, slots=True)
class _Counts:
    n_sources: int
    n_units: int
    corpora: list[str]


def _is_visible() -> ColumnElement[bool]:
    return exists().where(
        Source.language_model_id == LanguageModel.id,
        ScanSource.source_id == Source.id,
        ScanSource.is_current,
    )


def _visible() -> Select[LanguageModel, str]:
    return (
        select(LanguageModel, Tokenizer.hash)
        .join(Tokenizer, Tokenizer.id == LanguageModel.tokenizer_id)
        .where(_is_visible())
    )


def _counts(session: Session, model_ids: list[int]) -> Mapping[int, _Counts]:
    current = exists().where(ScanSource.source_id == Source.id, ScanSource.is_current)
    sizes = session.execute(
        select(Source.language_model_id, func.count(), func.sum(Source.n_units))
        .where(Source.language_model_id.in_(model_ids), current)
        .group_by(Source.language_model_id)
    ).all()
    over = session.execute(
        select(
            Source.language_model_id,
            func.array_agg(aggregate_order_by(Corpus.slug.distinct(), Corpus.slug)),
        )
        .join(ScanSource, ScanSource.source_id == Source.id)
        .join(Corpus, Corpus.id == ScanSource.corpus_id)
        .where(Source.language_model_id.in_(model_ids), ScanSource.is_current)
        .group_by(Source.language_model_id)
    )
    corpora = {model_id: list(names) for model_id, names in over}
    return {i: _Counts(n_sources, int(n_units), corpora[i]) for i, n_sources, n_units in sizes}


def _details(session: Session, models: list[tuple[LanguageModel, str]]) -> list[ModelDetail]:
    counts = _counts(session, [model.id for model, _ in models]) if models else {}
    return [_detail(model, tokenizer_hash, counts[model.id]) for model, tokenizer_hash in models]


def _detail(model: LanguageModel, tokenizer_hash: str, counts: _Counts) -> ModelDetail:
    plain: dict[str, Any] = {
        name: getattr(model, name)
        for name in ModelDetail.model_fields
        if name in LanguageModel.__table__.columns
    }
    return ModelDetail(
        model=model.slug,
        tokenizer_hash=tokenizer_hash,
        n_sources=counts.n_sources,
        n_units=counts.n_units,
        corpora=counts.corpora,
        page=urls.model(model.slug),
        **plain,
    )
