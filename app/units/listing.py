"""Listing a source's units: sorted, filtered, a page at a time.

Filters apply before the limit. A page starts after the last key of the one before it (no OFFSET),
and an index of `unit_stats` holds each order, so that a page costs the same wherever it is; ties
go by index in the direction of the order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import REAL, ColumnElement, CompoundSelect, Row, Select, cast, select, tuple_, union
from sqlalchemy.orm import InstrumentedAttribute, Session

from app import cursors, urls
from app.cursors import DEFAULT_LIMIT, Page
from app.explanations.queries import newest_of
from app.labels.queries import labels_of
from app.language_models.queries import find_tokens, token_texts
from app.models import Label, Unit, UnitStats
from app.sources.queries import CurrentScan, FoundSource, find_source
from app.units.schemas import UnitRow

SortKey: TypeAlias = Literal["index", "name", "density", "max", "mean", "std", "r2"]
Order: TypeAlias = Literal["asc", "desc"]
N_PROMOTED = 3
MAX_INDEX = 2**31 - 1

COLUMNS: dict[SortKey, InstrumentedAttribute[Any]] = {
    "index": UnitStats.index,
    "name": UnitStats.index,  # a unit's name is its source's and its index
    "density": UnitStats.density,
    "max": UnitStats.max,
    "mean": UnitStats.mean,
    "std": UnitStats.std,
    "r2": Label.r2,
}


@dataclass(frozen=True, slots=True)
class Filters:
    """Which units of a source to list; None lists whatever."""

    alive: bool | None = None
    min_density: float | None = None
    max_density: float | None = None
    min_r2: float | None = None
    max_r2: float | None = None
    q: str | None = None


def list_units(
    session: Session,
    model: str,
    source: str,
    *,
    corpus: str | None = None,
    sort: SortKey = "index",
    order: Order | None = None,
    alive: bool | None = None,
    min_density: float | None = None,
    max_density: float | None = None,
    min_r2: float | None = None,
    max_r2: float | None = None,
    q: str | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[UnitRow]:
    """Rows of statistics over one corpus (by default the largest).

    sort   by r2 of its automatic label only the units that have one are listed
    order  ascending by index and name, else descending, unless it is given
    alive  True: active at least once; False: never active
    min_r2, max_r2  bounds on how much of its variance its automatic label's rule explains
    q      an index, or a token that carries the unit's activation or that the unit promotes

    Raises NotFound for a model, source or corpus, InvalidInput for a cursor of another listing.
    """
    found = find_source(session, model, source)
    scan = found.scan_over(corpus)
    filters = Filters(alive, min_density, max_density, min_r2, max_r2, q.strip("\n") if q else None)
    if order is None:
        order = "asc" if sort in ("index", "name") else "desc"
    listing = f"units|{scan.scan.id}|{found.source.id}|{sort}|{order}|{filters}"
    query = _select(session, found, scan, filters)
    query = _with_labels(query) if sort == "r2" else query
    query = _ordered(query, sort, order, listing, cursor)
    rows = session.execute(query.limit(limit + 1)).all()
    more = cursors.encode(listing, _key(rows[limit - 1], sort)) if len(rows) > limit else None
    return Page(items=unit_rows(session, found, scan, rows[:limit]), next=more)


def row_columns() -> tuple[ColumnElement[Any] | InstrumentedAttribute[Any], ...]:
    """What a row of a listing shows; `unit_rows` reads it. Needs `Unit` joined to `UnitStats`."""
    return (
        UnitStats.index.label("unit_index"),  # a Row has a method `index` of its own
        UnitStats.n_active,
        UnitStats.density,
        UnitStats.max,
        UnitStats.min,
        UnitStats.mean,
        UnitStats.std,
        UnitStats.token_ids[1].label("top_token"),
        Unit.promoted_ids[1:N_PROMOTED].label("promoted"),
    )


def unit_rows(
    session: Session, found: FoundSource, scan: CurrentScan, rows: Sequence[Row[*tuple[Any, ...]]]
) -> list[UnitRow]:
    """The rows of `row_columns` with their tokens' texts and what is said of the units."""
    ids = {i for row in rows for i in (*(row.promoted or ()), row.top_token) if i is not None}
    names = token_texts(session, found.model.tokenizer_id, ids)
    corpus = found.corpus_for_link(scan.corpus)
    indices = [row.unit_index for row in rows]
    labels = labels_of(session, scan.scan.id, found.source.id, indices)
    explanations = newest_of(session, {found.source.id: indices})
    return [
        UnitRow(
            index=row.unit_index,
            n_active=row.n_active,
            density=row.density,
            max=row.max,
            min=row.min,
            mean=row.mean,
            std=row.std,
            top_token=None if row.top_token is None else names[row.top_token],
            promoted=[names[i] for i in row.promoted or ()],
            label=labels.get(row.unit_index),
            explanation=explanations.get((found.source.id, row.unit_index)),
            page=urls.unit(found.model.slug, found.source.slug, row.unit_index, corpus=corpus),
        )
        for row in rows
    ]


def _select(
    session: Session, found: FoundSource, scan: CurrentScan, filters: Filters
) -> Select[Any]:
    query: Select[Any] = (
        select(*row_columns())
        .outerjoin(Unit, (Unit.source_id == UnitStats.source_id) & (Unit.index == UnitStats.index))
        .where(UnitStats.scan_id == scan.scan.id, UnitStats.source_id == found.source.id)
    )
    if filters.alive is not None:
        query = query.where(UnitStats.density > 0 if filters.alive else UnitStats.density == 0)
    if filters.min_density is not None:
        query = query.where(UnitStats.density >= filters.min_density)
    if filters.max_density is not None:
        query = query.where(UnitStats.density <= filters.max_density)
    if filters.min_r2 is not None or filters.max_r2 is not None:
        query = query.where(UnitStats.index.in_(_explained(found, scan, filters)))
    if filters.q:
        query = query.where(UnitStats.index.in_(_matching(session, found, scan, filters.q)))
    return query


def _with_labels(query: Select[Any]) -> Select[Any]:
    is_own = (
        (Label.scan_id == UnitStats.scan_id)
        & (Label.source_id == UnitStats.source_id)
        & (Label.index == UnitStats.index)
    )
    return query.join(Label, is_own).add_columns(Label.r2.label("r2"))


def _matching(
    session: Session, found: FoundSource, scan: CurrentScan, q: str
) -> CompoundSelect[int] | Select[int]:
    """Indices of the units that `q` means: three index look-ups, whatever the sort."""
    token_ids = list(find_tokens(session, found.model.tokenizer_id, q))
    carried = select(UnitStats.index).where(
        UnitStats.scan_id == scan.scan.id,
        UnitStats.source_id == found.source.id,
        UnitStats.token_ids.overlap(token_ids),
    )
    promoted = select(Unit.index).where(
        Unit.source_id == found.source.id, Unit.promoted_ids.overlap(token_ids)
    )
    named = select(Unit.index).where(Unit.source_id == found.source.id, Unit.index == _as_index(q))
    return union(carried, promoted, named)


def _explained(found: FoundSource, scan: CurrentScan, filters: Filters) -> Select[int]:
    """Indices of the units whose label's R² is within the bounds; those without one are not."""
    query = select(Label.index).where(
        Label.scan_id == scan.scan.id, Label.source_id == found.source.id
    )
    if filters.min_r2 is not None:
        query = query.where(Label.r2 >= cast(filters.min_r2, REAL))
    if filters.max_r2 is not None:
        query = query.where(Label.r2 <= cast(filters.max_r2, REAL))
    return query


def _as_index(q: str) -> int:
    digits = q.strip()
    is_index = digits.isascii() and digits.isdigit() and len(digits) <= 10
    return int(digits) if is_index and int(digits) <= MAX_INDEX else -1


def _ordered(
    query: Select[Any], sort: SortKey, order: Order, listing: str, cursor: str | None
) -> Select[Any]:
    column = COLUMNS[sort]
    columns = [column] if column is UnitStats.index else [column, UnitStats.index]
    if cursor is not None:
        types = (int,) if len(columns) == 1 else (float, int)
        key = cursors.decode(listing, cursor, types)
        # A REAL goes through JSON as its shortest decimal, which only REAL reads back exactly.
        first = cast(key[0], column.type) if isinstance(column.type, REAL) else key[0]
        last, here = tuple_(first, *key[1:]), tuple_(*columns)
        query = query.where(here > last if order == "asc" else here < last)
    return query.order_by(*(c.asc() if order == "asc" else c.desc() for c in columns))


def _key(row: Row[*tuple[Any, ...]], sort: SortKey) -> tuple[cursors.KeyPart, ...]:
    if COLUMNS[sort] is UnitStats.index:
        return (row.unit_index,)
    return (float(getattr(row, sort)), row.unit_index)
