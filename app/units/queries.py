"""Reading units: one unit over its corpora, its neighbours and its tokens.

Listings are in `listing`, examples in `examples`; both are offered here as well, so that pages
and REST ask one module.
"""

import secrets

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app import urls
from app.explanations.queries import of_unit
from app.labels.queries import labels_over
from app.language_models.queries import token_texts
from app.models import Examples, Scan, Unit, UnitStats
from app.sources.queries import CurrentScan, FoundSource, find_source, find_unit
from app.units.examples import list_examples
from app.units.intervals import intervals_of
from app.units.listing import list_units
from app.units.schemas import (
    Histogram,
    Links,
    LogitLens,
    Neighbours,
    Stats,
    TokenShare,
    TokenValue,
    UnitDetail,
)

N_DRAWS = 64
WINDOW_BYTES = 4  # of each index in Scan.atlas_windows

__all__ = [
    "example_kinds",
    "find_unit",
    "get_unit",
    "list_examples",
    "list_units",
    "random_index",
    "unit_tokens",
]


def get_unit(session: Session, model: str, source: str, index: int) -> UnitDetail:
    """One unit, with its statistics over every corpus, the largest corpus first.

    Without its neighbours, which `app.units.similar` computes: a page shows them later.
    Raises NotFound for a model, source or index that is not there.
    """
    found = find_unit(session, model, source, index)
    row, scan_ids = found.source, [scan.scan.id for scan in found.scans]
    return UnitDetail.model_validate(
        {
            "model": model,
            "source": source,
            "index": index,
            "kind": row.kind,
            "hook_point": row.hook_point,
            "hook_point_out": row.hook_point_out,
            "layer": row.layer,
            "stats": _all_stats(session, found, index),
            "logit_lens": _logit_lens(session, found, index),
            "labels": labels_over(session, scan_ids, row.id, index),
            "explanations": of_unit(session, row.id, index),
            "neighbours": Neighbours(),
            "links": _links(found, index),
        }
    )


def random_index(session: Session, model: str, source: str) -> int:
    """A unit drawn uniformly from those that were ever active, from all where none was."""
    found = find_source(session, model, source)
    n_units, scan_id = found.source.n_units, found.scans[0].scan.id
    is_alive = (
        UnitStats.scan_id == scan_id,
        UnitStats.source_id == found.source.id,
        UnitStats.density > 0,
    )
    draws = [secrets.randbelow(n_units) for _ in range(N_DRAWS)]
    alive = set(
        session.scalars(select(UnitStats.index).where(*is_alive, UnitStats.index.in_(draws)))
    )
    for index in draws:
        if index in alive:
            return index
    # Nearly all are dead: look at every one.
    last_resort = select(UnitStats.index).where(*is_alive).order_by(func.random()).limit(1)
    chosen = session.scalars(last_resort).one_or_none()
    return draws[0] if chosen is None else chosen


def example_kinds(
    session: Session, model: str, source: str, index: int, corpus: str | None = None
) -> set[str]:
    """The kinds of examples that are kept of a unit."""
    scan = find_unit(session, model, source, index).scan_over(corpus)
    query = select(Examples.kind).where(
        Examples.scan_id == scan.scan.id,
        Examples.source_id == scan.scan_source.source_id,
        Examples.index == index,
    )
    return set(session.scalars(query))


def unit_tokens(
    session: Session, model: str, source: str, index: int, corpus: str | None = None
) -> list[TokenShare]:
    """The tokens that carry most of the unit's positive activation, most first."""
    found = find_unit(session, model, source, index)
    scan = found.scan_over(corpus)
    row = session.execute(
        select(
            UnitStats.token_ids,
            UnitStats.token_sums,
            UnitStats.token_n_active,
            UnitStats.token_n,
            UnitStats.atlas_sum,
        ).where(*_is_row(scan, index))
    ).one_or_none()
    if row is None:
        return []
    names = token_texts(session, found.model.tokenizer_id, row.token_ids)
    return [
        TokenShare(
            token_id=token_id,
            token=names[token_id],
            sum=total,
            share=total / row.atlas_sum if row.atlas_sum > 0 else 0.0,
            mean=total / n if n else 0.0,
            n_active=n_active,
            n=n,
        )
        for token_id, total, n_active, n in zip(*row[:4], strict=True)
    ]


def _is_row(scan: CurrentScan, index: int) -> tuple[ColumnElement[bool], ...]:
    return (
        UnitStats.scan_id == scan.scan.id,
        UnitStats.source_id == scan.scan_source.source_id,
        UnitStats.index == index,
    )


def _all_stats(session: Session, found: FoundSource, index: int) -> list[Stats]:
    n_windows = func.octet_length(Scan.atlas_windows) // WINDOW_BYTES
    query = (
        select(UnitStats, n_windows)
        .join(Scan, Scan.id == UnitStats.scan_id)
        .where(
            UnitStats.scan_id.in_([scan.scan.id for scan in found.scans]),
            UnitStats.source_id == found.source.id,
            UnitStats.index == index,
        )
    )
    rows = {row.scan_id: (row, n) for row, n in session.execute(query)}
    tops = {scan_id: row.token_ids[0] for scan_id, (row, _) in rows.items() if row.token_ids}
    names = token_texts(session, found.model.tokenizer_id, tops.values())
    return [
        _stats(scan.corpus.slug, *rows[scan.scan.id], names.get(tops.get(scan.scan.id, -1)))
        for scan in found.scans
        if scan.scan.id in rows
    ]


def _stats(corpus: str, row: UnitStats, n_windows: int | None, top_token: str | None) -> Stats:
    return Stats(
        corpus=corpus,
        top_token=top_token,
        n_tokens=row.n_tokens,
        n_active=row.n_active,
        density=row.density,
        max=row.max,
        min=row.min,
        mean=row.mean,
        std=row.std,
        skewness=row.skewness,
        kurtosis=row.kurtosis,
        histogram=Histogram(
            edges=row.histogram_edges,
            counts=row.histogram_counts,
            n_zero=row.n_zero,
            n_positions=sum(row.histogram_counts) + row.n_zero,
            n_windows=n_windows,
        ),
        intervals=intervals_of(
            row.interval_edges,
            row.interval_counts,
            row.interval_mass,
            row.interval_share_errors,
            row.interval_mass_errors,
        ),
    )


def _logit_lens(session: Session, found: FoundSource, index: int) -> LogitLens:
    unit = session.get(Unit, (found.source.id, index))
    if unit is None:
        return LogitLens(positive=[], negative=[])
    ids = [*unit.promoted_ids, *unit.suppressed_ids]
    names = token_texts(session, found.model.tokenizer_id, ids)
    return LogitLens(
        positive=_token_values(names, unit.promoted_ids, unit.promoted_values),
        negative=_token_values(names, unit.suppressed_ids, unit.suppressed_values),
    )


def _token_values(
    names: dict[int, str], token_ids: list[int], values: list[float]
) -> list[TokenValue]:
    return [
        TokenValue(token_id=token_id, token=names[token_id], value=value)
        for token_id, value in zip(token_ids, values, strict=True)
    ]


def _links(found: FoundSource, index: int) -> Links:
    model, source = found.model.slug, found.source.slug
    last = found.source.n_units - 1
    return Links(
        self=urls.api_unit(model, source, index),
        page=urls.unit(model, source, index),
        examples=urls.api_examples(model, source, index),
        tokens=urls.api_unit_tokens(model, source, index),
        similar=urls.api_similar(model, source, index),
        explanations=urls.api_unit_explanations(model, source, index),
        hypotheses=urls.api_unit_hypotheses(model, source, index),
        previous=urls.unit(model, source, index - 1) if index > 0 else None,
        next=urls.unit(model, source, index + 1) if index < last else None,
        source=urls.source(model, source),
    )
