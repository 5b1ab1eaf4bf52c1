"""All that a finished scan stores, in a form that two scans can be compared by.

Two scans of one model over one corpus, however they were cut and disturbed, must leave the same:
everything bit for bit, but for moments, whose sums hang on the order of addition.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isclose
from typing import Any

from sqlalchemy import ColumnElement, Engine, select
from sqlalchemy.orm import Session

from app import db
from app.models import (
    Atlas,
    AtlasPiece,
    Corpus,
    Directions,
    Examples,
    LanguageModel,
    ScanSource,
    Source,
    Unit,
    UnitStats,
)

MOMENTS = ("mean", "std", "skewness", "kurtosis")
_TOLERANCE = 1e-9
_IDS = {"scan_id", "source_id", "corpus_id"}

Key = tuple[Any, ...]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ScanResults:
    """Rows by table, source and key; without the numbers that a database gives."""

    rows: dict[Key, Row]

    def differences(self, other: "ScanResults") -> list[str]:
        """What is not the same in the other one; empty where all is."""
        found = [f"{key} is in one alone" for key in self.rows.keys() ^ other.rows.keys()]
        for key in self.rows.keys() & other.rows.keys():
            ours, theirs = self.rows[key], other.rows[key]
            found += [
                f"{key}: {name} is {ours[name]!r:.80}, and {theirs[name]!r:.80}"
                for name in ours
                if not _is_same(name, ours[name], theirs[name])
            ]
        return sorted(found)


def _is_same(name: str, ours: Any, theirs: Any) -> bool:
    if name in MOMENTS and ours is not None and theirs is not None:
        return isclose(ours, theirs, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return bool(ours == theirs)


def read_results(engine: Engine, model_slug: str, corpus_slug: str) -> ScanResults:
    """What pages show of a model over a corpus."""
    with db.session(engine) as session:
        model = session.scalars(select(LanguageModel.id).filter_by(slug=model_slug)).one()
        corpus = session.scalars(select(Corpus.id).filter_by(slug=corpus_slug)).one()
        current = (
            select(ScanSource, Source.slug)
            .join(Source, Source.id == ScanSource.source_id)
            .where(
                Source.language_model_id == model,
                ScanSource.corpus_id == corpus,
                ScanSource.is_current,
            )
        )
        rows = {}
        for row, slug in session.execute(current).all():
            rows["scan_sources", slug] = _plain(row)
            rows |= {(entity, slug, *key): found for entity, key, found in _of(session, row)}
        return ScanResults(rows)


def _of(session: Session, current: ScanSource) -> Iterator[tuple[str, Key, Row]]:
    """Everything that belongs to a current source."""
    for scanned in (UnitStats, Examples, Atlas, AtlasPiece):
        of_scan = scanned.scan_id == current.scan_id
        yield from _rows(session, scanned, of_scan & (scanned.source_id == current.source_id))
    for stored in (Unit, Directions):
        yield from _rows(session, stored, stored.source_id == current.source_id)


def _rows(
    session: Session, entity: Any, chosen: ColumnElement[bool]
) -> Iterator[tuple[str, Key, Row]]:
    for row in session.scalars(select(entity).where(chosen)):
        names = [c.name for c in entity.__table__.primary_key if c.name not in _IDS]
        yield entity.__tablename__, tuple(getattr(row, name) for name in names), _plain(row)


def _plain(row: Any) -> Row:
    columns = row.__table__.columns
    return {c.name: getattr(row, c.name) for c in columns if c.name not in _IDS}
