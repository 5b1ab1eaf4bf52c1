"""Which atlases and directions the database holds of a model's sources, and which can be compared.

A candidate that cannot be compared says why, in words that follow the source's name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import ColumnElement, Row, Select, select, tuple_
from sqlalchemy.orm import Session

from app.atlas.opened import OpenAtlas, OpenDirections
from app.atlas.stored import Stored, StoredAtlas, StoredDirections
from app.models import Atlas, Directions, Scan
from app.sources.queries import CurrentScan, FoundSource

T = TypeVar("T")
TOO_OLD = "was scanned before atlases were kept; index it again"
NO_DIRECTIONS = "was indexed before directions were kept; index it again"


@dataclass(frozen=True, slots=True)
class Candidate(Generic[T]):
    """A source whose units may be compared with a unit.

    scan    the one whose figures go with its units: over the corpus asked about, where there is one
    stored  what is compared; None where nothing can be, and `reason` says why
    """

    found: FoundSource
    scan: CurrentScan | None
    stored: Stored[T] | None
    reason: str = ""


def atlases(
    session: Session, sources: Sequence[FoundSource], own: CurrentScan
) -> list[Candidate[OpenAtlas]]:
    """The sources' current atlases over own's corpus, as far as they are of the same windows."""
    scans = [_scan_over(found, own) for found in sources]
    query = _atlas_rows(own).where(
        tuple_(Atlas.scan_id, Atlas.source_id).in_(
            [(scan.scan.id, scan.scan_source.source_id) for scan in scans if scan]
        )
    )
    rows = {row.source_id: row for row in session.execute(query)}
    own_row = rows.get(own.scan_source.source_id)
    n_positions = -1 if own_row is None else own_row.n_positions
    return [
        _atlas_candidate(found, scan, rows.get(found.source.id), own, n_positions)
        for found, scan in zip(sources, scans, strict=True)
    ]


def directions(
    session: Session, sources: Sequence[FoundSource], own: CurrentScan
) -> list[Candidate[OpenDirections]]:
    """The sources' directions; with figures over own's corpus where there are some."""
    runs: dict[int, list[tuple[int, str]]] = {}
    query = (
        select(Directions.source_id, Directions.first_unit, Directions.hash)
        .where(Directions.source_id.in_([found.source.id for found in sources]))
        .order_by(Directions.source_id, Directions.first_unit)
    )
    for source_id, first_unit, run_hash in session.execute(query):
        runs.setdefault(source_id, []).append((first_unit, run_hash))
    return [_directions_candidate(found, own, runs.get(found.source.id)) for found in sources]


def _scan_over(found: FoundSource, own: CurrentScan) -> CurrentScan | None:
    return next((scan for scan in found.scans if scan.corpus.id == own.corpus.id), None)


def _atlas_rows(own: CurrentScan) -> Select[int, int, int, int, int, int, str, bool]:
    windows = select(Scan.atlas_windows).where(Scan.id == own.scan.id).scalar_subquery()
    is_same: ColumnElement[bool] = (Scan.id == own.scan.id) | (Scan.atlas_windows == windows)
    return select(
        Atlas.scan_id,
        Atlas.source_id,
        Atlas.n_positions,
        Atlas.n_entries,
        Atlas.n_pieces,
        Atlas.unit_bytes,
        Atlas.hash,
        is_same.label("is_same"),
    ).join(Scan, Scan.id == Atlas.scan_id)


def _atlas_candidate(
    found: FoundSource,
    scan: CurrentScan | None,
    row: Row[int, int, int, int, int, int, str, bool] | None,
    own: CurrentScan,
    n_positions: int,
) -> Candidate[OpenAtlas]:
    if scan is None:
        return Candidate(found, None, None, f"was not scanned over {own.corpus.slug}")
    if row is None:
        return Candidate(found, scan, None, TOO_OLD)
    if not row.is_same or row.n_positions != n_positions:
        return Candidate(found, scan, None, _other_windows(row.n_positions))
    name = f"The atlas of {found.model.slug}/{found.source.slug} over {own.corpus.slug}"
    stored = StoredAtlas(
        name=name,
        key=row.hash,
        scan_id=row.scan_id,
        source_id=row.source_id,
        n_units=found.source.n_units,
        n_positions=row.n_positions,
        n_entries=row.n_entries,
        n_pieces=row.n_pieces,
        unit_bytes=row.unit_bytes,
    )
    return Candidate(found, scan, stored)


def _other_windows(n_positions: int) -> str:
    return (
        f"has an atlas of other windows ({n_positions:,} positions); index it again with the same "
        "sample and seed"
    )


def _directions_candidate(
    found: FoundSource, own: CurrentScan, runs: list[tuple[int, str]] | None
) -> Candidate[OpenDirections]:
    scan = _scan_over(found, own)
    if runs is None:
        return Candidate(found, scan, None, NO_DIRECTIONS)
    name = f"The stored directions of {found.model.slug}/{found.source.slug}"
    n_units, d_model = found.source.n_units, found.model.d_model
    stored = StoredDirections(name, found.source.id, n_units, d_model, tuple(runs))
    return Candidate(found, scan, stored)
