"""Reading labels: of some units, whether there are any, and how much of a source they explain.

Searching them is with the other searches of units (app.search.queries).
"""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Integer, and_, cast, exists, func, or_, select
from sqlalchemy.orm import Session

from app.labels.schemas import UnitLabel
from app.models import Corpus, Label, Scan
from app.rules.language import to_value
from app.rules.reading import read_json
from app.rules.text import to_text

N_BINS = 20
MAX_KNOWN = 4096


class Explained(NamedTuple):
    """How much of a source's units their best rules explain.

    counts        units by R², in `N_BINS` bins of equal breadth from 0 to 1, the last one closed
    n_explained   those whose label is called one
    n_labelled    all that have a best rule; the others of the source are too rare in the sample
    """

    counts: tuple[int, ...]
    n_explained: int
    n_labelled: int


def labels_of(
    session: Session, scan_id: int, source_id: int, indices: Collection[int]
) -> dict[int, UnitLabel]:
    """The automatic labels of units over one scan, by index; units without one are left out."""
    found = labels_at(session, {(scan_id, source_id): indices})
    return {index: label for (_, _, index), label in found.items()}


def labels_over(
    session: Session, scan_ids: Sequence[int], source_id: int, index: int
) -> list[UnitLabel]:
    """One unit's automatic labels, one a scan at most, in the order of the scans."""
    found = labels_at(session, {(scan_id, source_id): [index] for scan_id in scan_ids})
    keys = [(scan_id, source_id, index) for scan_id in scan_ids]
    return [found[key] for key in keys if key in found]


def labels_at(
    session: Session, units: Mapping[tuple[int, int], Collection[int]]
) -> dict[tuple[int, int, int], UnitLabel]:
    """The automatic labels of units of several scans and sources, by one query.

    units  by (scan id, source id) their indices; the answer is by (scan id, source id, index)
    """
    of_sources = [
        and_(Label.scan_id == scan_id, Label.source_id == source_id, Label.index.in_(indices))
        for (scan_id, source_id), indices in units.items()
        if indices
    ]
    if not of_sources:
        return {}
    query = (
        select(Label, Corpus.slug)
        .join(Scan, Scan.id == Label.scan_id)
        .join(Corpus, Corpus.id == Scan.corpus_id)
        .where(or_(*of_sources))
    )
    return {
        (row.scan_id, row.source_id, row.index): _label(row, corpus)
        for row, corpus in session.execute(query)
    }


def is_labelled(session: Session, scan_id: int, source_id: int) -> bool:
    """Whether labels were made of a source's scan."""
    is_there = exists().where(Label.scan_id == scan_id, Label.source_id == source_id)
    return bool(session.scalar(select(is_there)))


def explained_histogram(session: Session, scan_id: int, source_id: int) -> Explained:
    """How many units are explained how well."""
    place = func.least(cast(func.floor(Label.r2 * N_BINS), Integer), N_BINS - 1)
    query = (
        select(place, Label.is_explained, func.count())
        .where(Label.scan_id == scan_id, Label.source_id == source_id)
        .group_by(place, Label.is_explained)
    )
    counts, n_explained = [0] * N_BINS, 0
    for bin_, is_explained, n in session.execute(query):
        counts[bin_] += n
        n_explained += n if is_explained else 0
    return Explained(tuple(counts), n_explained, sum(counts))


def _label(row: Label, corpus: str) -> UnitLabel:
    value, line = _read(row.rule)
    return UnitLabel(
        corpus=corpus,
        words=row.words,
        rule=value,
        text=line,
        r2=row.r2,
        mass_explained=row.mass_explained,
        precision=row.precision,
        recall=row.recall,
        is_explained=row.is_explained,
    )


@lru_cache(maxsize=MAX_KNOWN)
def _read(canonical: str) -> tuple[dict[str, Any], str]:
    """A stored rule as values and in one line."""
    rule = read_json(canonical)
    return to_value(rule), to_text(rule)
