"""Labels all units of a complete scan, from its atlases and its text.

Everything is computed before the database is written to; then old labels give way to new ones in
one transaction. Run again at any time: the same scan gives the same labels.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine, delete, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app import db, partitions
from app.atlas.cache import get_cache
from app.atlas.errors import AtlasUnusable
from app.atlas.opened import OpenAtlas
from app.atlas.queries import atlases
from app.errors import AppError, Conflict, NotFound
from app.labels.best import MIN_EXPLAINED, BestRules, best_rules
from app.labels.library import Library, open_library
from app.labels.words import describe
from app.language_models.queries import find_model
from app.models import Label, LanguageModel, Scan
from app.rules.language import to_json
from app.rules.stored_text import open_text
from app.sources.queries import FoundSource, find_sources

Row = tuple[int, int, int, str, str, float, float | None, float | None, float | None, bool]
COLUMNS = tuple(column.name for column in Label.__table__.columns)


class Labelled(NamedTuple):
    """Units of the scans; those that have a best rule; those that it explains."""

    n_units: int
    n_labelled: int
    n_explained: int


def label_scan(engine: Engine, scan_id: int, report: Callable[[str], None]) -> Labelled:
    """Labels every source that is current by this scan, in place of what was there.

    report  is told what is done, a sentence a line
    Sources whose atlas cannot be used are left out, and reported.
    Raises NotFound for no such scan, Conflict for one that is not complete, AtlasMissing and
    CacheUnavailable where there is nothing to make labels from.
    """
    with db.session(engine) as session:
        sources = _sources(session, scan_id)
        if not sources:
            return Labelled(0, 0, 0)
        n_units = sum(each.source.n_units for each in sources)
        report(f"Labelling {n_units:,} units")
        library = open_library(open_text(session, scan_id))
        found = {
            each.source.id: best_rules(atlas, library)
            for each in sources
            if (atlas := _opened(session, scan_id, each, library, report)) is not None
        }
    with db.session(engine) as session:
        _replace(session.connection(), scan_id, _rows(scan_id, found, library))
    n_labelled = sum(int((each.best >= 0).sum()) for each in found.values())
    n_explained = sum(int((each.r2 >= MIN_EXPLAINED).sum()) for each in found.values())
    return Labelled(n_units, n_labelled, n_explained)


def label_model(
    engine: Engine, model: str, corpus: str | None, report: Callable[[str], None]
) -> Labelled:
    """Labels all current scans of a model, or those over one corpus.

    Raises as `label_scan`, and NotFound for a model or a corpus that is not there.
    """
    with db.session(engine) as session:
        sources = find_sources(session, find_model(session, model))
        scans = [scan for each in sources for scan in each.scans]
        known = sorted({scan.corpus.slug for scan in scans})
        if corpus is not None and corpus not in known:
            raise NotFound(
                f"{model} was not scanned over {corpus!r}. It was over: {', '.join(known)}."
            )
        chosen = {scan.scan.id for scan in scans if corpus in (None, scan.corpus.slug)}
    done = [label_scan(engine, scan_id, report) for scan_id in sorted(chosen)]
    return Labelled(*map(sum, zip(*done, strict=True)))


def after_scan(engine: Engine, scan_id: int, report: Callable[[str], None]) -> None:
    """Labels a scan that has just been completed; what hinders it is reported, not raised."""
    try:
        label_scan(engine, scan_id, report)
    except (AppError, DBAPIError) as error:
        said = error.message if isinstance(error, AppError) else str(error.orig)
        reason = next(iter(said.splitlines()), "no reason given")
        report(f"The units were not labelled: {reason} `unitscope label MODEL` does it later.")


def _sources(session: Session, scan_id: int) -> list[FoundSource]:
    row = session.execute(
        select(Scan.status, LanguageModel)
        .join(LanguageModel, LanguageModel.id == Scan.language_model_id)
        .where(Scan.id == scan_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no job {scan_id}.")
    if row.status != "complete":
        raise Conflict(f"Job {scan_id} is {row.status}; units are labelled once it is complete.")
    return [
        each
        for each in find_sources(session, row.LanguageModel)
        if any(scan.scan.id == scan_id for scan in each.scans)
    ]


def _opened(
    session: Session,
    scan_id: int,
    found: FoundSource,
    library: Library,
    report: Callable[[str], None],
) -> OpenAtlas | None:
    """The atlas of one source; None, and a word why, where it cannot be read."""
    own = next(scan for scan in found.scans if scan.scan.id == scan_id)
    (candidate,) = atlases(session, [found], own)
    if candidate.stored is None:
        report(f"{found.source.slug} is left out: it {candidate.reason}.")
        return None
    try:
        atlas = get_cache().open(session, candidate.stored)
    except AtlasUnusable as error:
        report(f"{found.source.slug} is left out: {error.message}")
        return None
    if atlas.n_positions != library.n_positions:
        report(
            f"{found.source.slug} is left out: its atlas has {atlas.n_positions:,} positions, and "
            f"its windows {library.n_positions:,}. Index it again."
        )
        return None
    return atlas


def _rows(scan_id: int, found: dict[int, BestRules], library: Library) -> Iterator[Row]:
    said: dict[int, tuple[str, str]] = {}
    for source_id, each in found.items():
        figures = np.stack([each.r2, each.mass_explained, each.precision, each.recall], axis=1)
        for unit in np.flatnonzero(each.best >= 0).tolist():
            place = int(each.best[unit])
            if place not in said:
                said[place] = to_json(library.rules[place]), describe(library.rules[place])
            r2, *others = figures[unit].tolist()
            mass, precision, recall = (None if np.isnan(value) else value for value in others)
            is_explained = r2 >= MIN_EXPLAINED
            yield scan_id, source_id, unit, *said[place], r2, mass, precision, recall, is_explained


def _replace(connection: Connection, scan_id: int, rows: Iterator[Row]) -> None:
    """The scan's own table, made where there is none yet, and the rows in it."""
    table = partitions.name(Label.__tablename__, scan_id)
    # One at a time: two would make the same table.
    lock = text("SELECT pg_advisory_xact_lock(hashtext('unitscope.labels'), :scan)")
    connection.execute(lock, {"scan": scan_id})
    is_there = connection.scalar(text("SELECT to_regclass(:table) IS NOT NULL"), {"table": table})
    if is_there:
        connection.execute(delete(Label).where(Label.scan_id == scan_id))
    else:
        partitions.prepare(connection, partitions.LABEL_TABLES, scan_id)
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    if not is_there:
        partitions.attach(connection, partitions.LABEL_TABLES, scan_id)
    connection.execute(text(f"ANALYZE {table}"))
