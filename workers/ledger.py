"""The life of a scan in the database: begun, told how far it is, complete or failed.

Whoever scans a model over a corpus holds a lock on the pair, which goes with the connection, and
so with the process. A scan that is `running` while its lock is free was interrupted.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session

from app import db, partitions
from app.models import Scan, ScanSource, Source
from workers.progress import Progress
from workers.sinks import models
from workers.sources.language_models import LoadedModel
from workers.sources.unit_sources import UnitSource

FORMAT = 1
"""Goes into the settings; raise it when the same scan would leave other results."""
_SECONDS_BETWEEN_TRIES = 1.0
_SECONDS_BETWEEN_REPORTS = 5.0
INTERRUPTED = "Interrupted before its end; running the same command again does it anew."


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """What shapes a scan's results, apart from model, corpus and sources."""

    top_k: int
    atlas_tokens: int
    seed: int
    dtype: str
    format: int = FORMAT

    @property
    def hash(self) -> str:
        """Equal for equal settings."""
        return blake2b(
            json.dumps(asdict(self), sort_keys=True).encode(), digest_size=16
        ).hexdigest()


@contextmanager
def locked(
    engine: Engine, model: LoadedModel, corpus_id: int, progress: Progress
) -> Iterator[None]:
    """Holds the lock on scans of this model over this corpus; waits for another's end.

    The model goes by its hashes, since its row may be dropped, and made anew, by who held the lock
    before.
    """
    hashes = f"{model.weights_hash} {model.tokenizer_hash}"
    key = {"model": f"unitscope.scan {hashes}", "corpus_id": corpus_id}
    lock = text("SELECT pg_try_advisory_lock(hashtext(:model), :corpus_id)")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        is_told = False
        while not connection.scalar(lock, key):
            if not is_told:
                progress.note("Another process scans this model over this corpus; waiting for it.")
            is_told = True
            time.sleep(_SECONDS_BETWEEN_TRIES)
        try:
            yield
        finally:
            # The connection goes back to the pool, where it would keep its locks.
            connection.invalidate()


def forget_interrupted(session: Session, model_id: int, corpus_id: int) -> int:
    """Marks what died while running as failed, and drops what it left; call it under the lock."""
    of_pair = (Scan.language_model_id == model_id) & (Scan.corpus_id == corpus_id)
    dead = list(session.scalars(select(Scan).where(of_pair, Scan.status == "running")))
    for scan in dead:
        partitions.drop(session.connection(), partitions.SCAN_TABLES, scan.id)
        scan.status, scan.error = "failed", INTERRUPTED
    return len(dead)


def find_complete(
    session: Session, model_id: int, corpus_id: int, settings: ScanSettings
) -> dict[str, tuple[int, int, bool]]:
    """By slug, the sources that were scanned so already: (source, scan, is it current)."""
    query = (
        select(Source.slug, Source.id, Scan.id, ScanSource.is_current)
        .join(ScanSource, ScanSource.source_id == Source.id)
        .join(Scan, Scan.id == ScanSource.scan_id)
        .where(
            Source.language_model_id == model_id,
            ScanSource.corpus_id == corpus_id,
            Scan.status == "complete",
            Scan.settings_hash == settings.hash,
        )
        .order_by(Scan.id)
    )
    return {slug: (source, scan, current) for slug, source, scan, current in session.execute(query)}


def begin(
    session: Session,
    model_id: int,
    corpus_id: int,
    settings: ScanSettings,
    details: dict[str, Any],
) -> int:
    """The id of a new running scan."""
    scan = Scan(
        language_model_id=model_id,
        corpus_id=corpus_id,
        status="running",
        settings_hash=settings.hash,
        settings={**asdict(settings), **details},
        n_tokens_done=0,
        software_version=version("unitscope"),
    )
    session.add(scan)
    session.flush()
    return scan.id


def fail(engine: Engine, scan_id: int, message: str) -> None:
    """Marks a scan as failed, and drops its model where nothing else is there of it."""
    with db.session(engine) as session:
        partitions.drop(session.connection(), partitions.SCAN_TABLES, scan_id)
        session.execute(
            update(Scan).where(Scan.id == scan_id).values(status="failed", error=message)
        )
        models.drop_unused(session, session.get_one(Scan, scan_id).language_model_id)


class Reporter:
    """Tells the terminal, and now and then the database, how many tokens are done."""

    def __init__(self, engine: Engine, scan_id: int, progress: Progress) -> None:
        self._engine, self._scan_id, self._progress = engine, scan_id, progress
        self._told = time.monotonic()
        self.n_done = 0

    def __call__(self, n_tokens: int) -> None:
        self.n_done += n_tokens
        self._progress.advance(n_tokens)
        now = time.monotonic()
        if now - self._told < _SECONDS_BETWEEN_REPORTS:
            return
        self._told = now
        with db.session(self._engine) as session:
            row = update(Scan).where(Scan.id == self._scan_id)
            session.execute(row.values(n_tokens_done=self.n_done))


def slugs(sources: Sequence[UnitSource]) -> list[str]:
    """The sources' slugs, in order."""
    return [source.slug for source in sources]
