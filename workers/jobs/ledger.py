"""A scan's rows in the database: found, begun, taken up again, given up.

A scan of a model over a corpus is cut into shards when it is begun, and keeps them, with all that
was flushed, until it is complete or cancelled. So whatever ends early is taken up where it was.
"""

from dataclasses import asdict
from importlib.metadata import version

import numpy as np
from jaxtyping import Int
from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session

from app import db, partitions
from app.models import Corpus, Scan, ScanSource, Shard, Source
from workers.jobs import queue
from workers.jobs.plan import plan_shards
from workers.jobs.settings import ScanRequest, ScanSettings
from workers.kernels.sampling import sample_windows
from workers.sinks import models, partials
from workers.sources.stored_windows import WindowSizes

UNFINISHED = ("queued", "running", "failed")


def lock_pair(session: Session, weights_hash: str, tokenizer_hash: str, corpus_id: int) -> None:
    """Until the end of the transaction, no other plans a scan of this model over this corpus."""
    key = {"model": f"unitscope.scan {weights_hash} {tokenizer_hash}", "corpus_id": corpus_id}
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:model), :corpus_id)"), key)


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


def find_unfinished(
    session: Session, model_id: int, corpus_id: int, settings: ScanSettings
) -> list[Scan]:
    """Scans by these settings that have shards left to carry out, oldest first."""
    query = (
        select(Scan)
        .where(
            Scan.language_model_id == model_id,
            Scan.corpus_id == corpus_id,
            Scan.settings_hash == settings.hash,
            Scan.status.in_(UNFINISHED),
            select(Shard.scan_id).where(Shard.scan_id == Scan.id).exists(),
        )
        .order_by(Scan.id)
        .with_for_update()  # or it might be cancelled while we take it up
    )
    return list(session.scalars(query))


def begin(
    session: Session,
    model_id: int,
    corpus: Corpus,
    settings: ScanSettings,
    request: ScanRequest,
    sizes: WindowSizes,
    *,
    priority: int,
    least_shard_tokens: int,
) -> Scan:
    """A new scan with its shards, all of them waiting and in the queue."""
    sampled = sample_windows(sizes.n_counted, settings.atlas_tokens, settings.seed)
    scan = Scan(
        language_model_id=model_id,
        corpus_id=corpus.id,
        status="queued",
        priority=priority,
        settings_hash=settings.hash,
        settings={**asdict(settings), "sources": [source.slug for source in request.sources]},
        n_tokens=corpus.n_tokens,
        n_tokens_done=0,
        request=request.stored(),
        atlas_windows=sampled.astype("<i4").tobytes(),
        software_version=version("unitscope"),
    )
    session.add(scan)
    session.flush()
    session.add_all(_shards(scan.id, sizes, sampled, least_shard_tokens))
    partials.prepare(session.connection(), scan.id)
    session.flush()
    queue.defer_open(session, scan.id, scan.priority)
    return scan


def _shards(
    scan_id: int, sizes: WindowSizes, sampled: Int[np.ndarray, " sampled"], least_tokens: int
) -> list[Shard]:
    return [
        Shard(
            scan_id=scan_id,
            index=index,
            status="waiting",
            n_windows_done=0,
            n_tokens_done=0,
            n_attempts=0,
            **asdict(planned),
        )
        for index, planned in enumerate(plan_shards(sizes.n_counted, sampled, least_tokens))
    ]


def take_up(session: Session, scan: Scan) -> None:
    """Puts what is left of an unfinished scan into the queue; attempts are counted anew."""
    session.execute(
        update(Shard)
        .where(Shard.scan_id == scan.id, Shard.status != "done")
        .values(n_attempts=0, error=None)
    )
    if scan.status == "failed":
        scan.status, scan.error = "queued", None
    session.flush()
    queue.defer_open(session, scan.id, scan.priority)


def fail(engine: Engine, scan_id: int, message: str, *, is_final: bool) -> None:
    """Marks a scan as failed. A final failure would come again: what was flushed is dropped."""
    with db.session(engine) as session:
        scan = session.get(Scan, scan_id, with_for_update=True)
        if scan is None or scan.status not in ("queued", "running"):
            return
        scan.status, scan.error = "failed", message
        if is_final:
            partitions.drop_unfinished(session, scan_id)
            session.flush()
            models.drop_unused_sources(session, scan.language_model_id)
