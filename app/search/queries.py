"""Simple search: units by address, by the tokens that carry them, by the tokens they promote, by
the words of what is said of them (app.search.words)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from sqlalchemy import (
    DOUBLE_PRECISION,
    Label,
    Row,
    Select,
    SQLColumnExpression,
    Subquery,
    cast,
    func,
    select,
    true,
    tuple_,
)
from sqlalchemy.orm import Session

from app import cursors, slugs, urls
from app.cursors import DEFAULT_LIMIT, Page
from app.errors import InvalidInput, NotFound
from app.language_models.queries import find_model, find_tokens, similar_tokens, unknown
from app.models import LanguageModel, Source, Unit, UnitStats
from app.search import words
from app.search.schemas import UnitHit
from app.sources.queries import CurrentScan, FoundSource, find_source, find_sources, is_scanned
from app.units.listing import MAX_INDEX, row_columns, unit_rows
from app.units.schemas import UnitRow

# source/17 or model/source/17, also as an address of the site, and with `:` `#` or a space for `/`.
ADDRESS = re.compile(r"/?(?:([^/:#\s]+)[/:#\s]+)?([^/:#\s]+)[/:#\s]+(\d{1,10})/?")

FoundBy = Literal["token", "logit", "label", "explanation"]
Order: TypeAlias = list[SQLColumnExpression[Any]]


def find_address(session: Session, q: str, model: str | None = None) -> list[UnitHit]:
    """The units that `q` is the address of: `mlp-2/17` of `model`, or of every model that has it;
    `model/mlp-2/17` of that one. Empty where `q` is no address or nothing is there."""
    match = ADDRESS.fullmatch(q.strip())
    if match is None or not slugs.is_slug(match[2]) or int(match[3]) > MAX_INDEX:
        return []
    wanted = match[1] or model
    if wanted is not None and not slugs.is_slug(wanted):
        return []
    query = (
        select(LanguageModel.slug)
        .join(Source, Source.language_model_id == LanguageModel.id)
        .where(Source.slug == match[2], Source.n_units > int(match[3]), is_scanned())
        .order_by(LanguageModel.slug)
    )
    if wanted is not None:
        query = query.where(LanguageModel.slug == wanted)
    found = [find_source(session, slug, match[2]) for slug in session.scalars(query)]
    return [hit for each in found for hit in _at(session, each, int(match[3]))]


def search_units(
    session: Session,
    model: str,
    *,
    token: str | None = None,
    logit: str | None = None,
    label: str | None = None,
    source: str | None = None,
    corpus: str | None = None,
    min_density: float | None = None,
    max_density: float | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[UnitHit]:
    """Units of all sources by one token or some words (exactly one of token, logit and label).

    token   units that it carries, by its share of the unit's positive activation
    logit   units that promote it, by its rank in the unit's own list, then by its value
    label   units whose explanation has these words, the newest first; then those that an
            automatic label with them explains, by its R²
    A token is one that reads exactly so, or so after a space. Statistics are those over `corpus`,
    by default each source's largest.

    Raises InvalidInput for no or two questions, for a text that is no token of the model, and for
    words of which none can be looked for.
    """
    found_by, text = _asked(token, logit, label)
    row = find_model(session, model)
    tokens = {} if found_by == "label" else _tokens(session, row, text)
    places = _places(session, row, source, corpus)
    pairs = [(place.scan.scan.id, source_id) for source_id, place in places.items()]
    within = words.Within(pairs, min_density, max_density)
    what = sorted(tokens) if tokens else text
    listing = (
        f"search|{found_by}|{what}|{[scan_id for scan_id, _ in pairs]}"
        f"|{sorted(places)}|{min_density}|{max_density}"
    )
    last = None if cursor is None else cursors.decode(listing, cursor, (float, float, int, int))
    if found_by == "label":
        query, order = _of_found(words.best(session, text, within, last, limit + 1))
    else:
        query, order = (_by_token if found_by == "token" else _by_logit)(list(tokens))
    query = within.narrow(query)
    if last is not None:
        query = query.where(tuple_(*order) > tuple_(*last))
    rows = session.execute(query.order_by(*order).limit(limit + 1)).all()
    more = cursors.encode(listing, tuple(rows[limit - 1][-4:])) if len(rows) > limit else None
    names = sorted(tokens.values())
    return Page(items=_hits(session, places, rows[:limit], found_by, names), next=more)


@dataclass(frozen=True, slots=True)
class _Place:
    """A source and the scan of it that a search reads."""

    found: FoundSource
    scan: CurrentScan


def _asked(token: str | None, logit: str | None, label: str | None) -> tuple[FoundBy, str]:
    """The one question of three."""
    given: dict[FoundBy, str | None] = {"token": token, "logit": logit, "label": label}
    asked = [(found_by, text) for found_by, text in given.items() if text is not None]
    if len(asked) != 1:
        raise InvalidInput(
            "A search takes one of token=… (what units fire on), logit=… (what they promote) and "
            "q=… (an address, or words of labels and explanations)."
        )
    return asked[0]


def _tokens(session: Session, model: LanguageModel, text: str) -> dict[int, str]:
    tokens = find_tokens(session, model.tokenizer_id, text)
    if not tokens:
        near = similar_tokens(session, model.tokenizer_id, text)
        hint = f" Some that come near: {', '.join(map(repr, near))}." if near else ""
        shown = text if len(text) <= 60 else text[:60] + "…"
        raise InvalidInput(
            f"{shown!r} is not one token of {model.slug}, with or without a space before it.{hint}"
        )
    return tokens


def _places(
    session: Session, model: LanguageModel, source: str | None, corpus: str | None
) -> dict[int, _Place]:
    """By source id, in the order of layers."""
    sources = find_sources(session, model)
    known = [found.source.slug for found in sources]
    if source is not None and source not in known:
        raise NotFound(
            unknown("source {} of " + model.slug, source, known, urls.api_sources(model.slug))
        )
    corpora = {scan.corpus.slug for found in sources for scan in found.scans}
    if corpus is not None and corpus not in corpora:
        what = f"scan of {model.slug} over the corpus {{}}"
        raise NotFound(unknown(what, corpus, sorted(corpora), urls.api_model(model.slug)))
    return {
        found.source.id: _Place(found, scan)
        for found in sources
        if source in (None, found.source.slug)
        for scan in found.scans
        if scan.corpus.slug == (corpus or found.scans[0].corpus.slug)
    }


def _by_token(token_ids: list[int]) -> tuple[Select[*tuple[Any, ...]], Order]:
    """Units that the tokens carry, by their share; the four columns that order them."""
    pairs = (
        func.unnest(UnitStats.token_ids, UnitStats.token_sums)
        .table_valued("id", "total")
        .render_derived()
    )
    carried = (
        select(func.sum(cast(pairs.c.total, DOUBLE_PRECISION)).label("total"))
        .where(pairs.c.id == func.any(token_ids))
        .lateral("carried")
    )
    zero = cast(0, DOUBLE_PRECISION)
    share = func.coalesce(carried.c.total / func.nullif(UnitStats.atlas_sum, zero), zero)
    order = [-share, zero, UnitStats.source_id, UnitStats.index]
    query = _select(order).join(carried, true()).where(UnitStats.token_ids.overlap(token_ids))
    return query, order


def _by_logit(token_ids: list[int]) -> tuple[Select[*tuple[Any, ...]], Order]:
    """Units that promote one of the tokens, by its rank in their lists, then by its value."""
    ranked = func.unnest(Unit.promoted_ids, Unit.promoted_values).table_valued(
        "id", "value", with_ordinality="rank"
    )
    ranked = ranked.render_derived()
    best = (
        select(ranked.c.rank, ranked.c.value)
        .where(ranked.c.id == func.any(token_ids))
        .order_by(ranked.c.rank)
        .limit(1)
        .lateral("best")
    )
    rank, value = (cast(column, DOUBLE_PRECISION) for column in (best.c.rank, best.c.value))
    order = [rank, -value, UnitStats.source_id, UnitStats.index]
    query = _select(order).join(best, true()).where(Unit.promoted_ids.overlap(token_ids))
    return query, order


def _of_found(found: Subquery) -> tuple[Select[*tuple[Any, ...]], Order]:
    """The rows of units that app.search.words found."""
    order: Order = [found.c.key_0, found.c.key_1, UnitStats.source_id, UnitStats.index]
    is_own = (found.c.source_id == UnitStats.source_id) & (found.c.index == UnitStats.index)
    return _select(order).join(found, is_own), order


def _select(order: Order) -> Select[*tuple[Any, ...]]:
    keys: list[Label[Any]] = [column.label(f"key_{i}") for i, column in enumerate(order)]
    return (
        select(*row_columns(), *keys)
        .select_from(UnitStats)
        .outerjoin(Unit, (Unit.source_id == UnitStats.source_id) & (Unit.index == UnitStats.index))
    )


def _at(session: Session, found: FoundSource, index: int) -> list[UnitHit]:
    scan = found.scans[0]
    query = _select([]).where(
        UnitStats.scan_id == scan.scan.id,
        UnitStats.source_id == found.source.id,
        UnitStats.index == index,
    )
    rows = unit_rows(session, found, scan, session.execute(query).all())
    return [_hit(_Place(found, scan), row, found_by="address", tokens=[]) for row in rows]


def _hits(
    session: Session,
    places: dict[int, _Place],
    rows: Sequence[Row[*tuple[Any, ...]]],
    found_by: FoundBy,
    tokens: list[str],
) -> list[UnitHit]:
    """In the order of `rows`; the tokens of all rows of one source are read together."""
    units: dict[tuple[int, int], UnitRow] = {}
    for source_id, place in places.items():
        of_source = [row for row in rows if row.key_2 == source_id]
        for unit in unit_rows(session, place.found, place.scan, of_source):
            units[source_id, unit.index] = unit
    hits = []
    for row in rows:
        figures: dict[str, Any] = {"share": -row.key_0} if found_by == "token" else {}
        if found_by == "logit":
            figures = {"rank": int(row.key_0), "value": _shortest(-row.key_1)}
        unit, by = units[row.key_2, row.key_3], found_by
        if found_by == "label" and row.key_0 == words.EXPLAINED:
            by = "explanation"
        hits.append(_hit(places[row.key_2], unit, found_by=by, tokens=tokens, **figures))
    return hits


def _shortest(value: float) -> float:
    """A float32 that came as float64, in the decimals that it is shown with everywhere else."""
    return float(str(np.float32(value)))


def _hit(place: _Place, unit: UnitRow, **found: Any) -> UnitHit:
    source = place.found.source
    return UnitHit.model_validate(
        {
            "model": place.found.model.slug,
            "source": source.slug,
            "index": unit.index,
            "kind": source.kind,
            "layer": source.layer,
            "corpus": place.scan.corpus.slug,
            "unit": unit,
            **found,
        }
    )
