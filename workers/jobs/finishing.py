"""The last shard: all partials merged, block by block, and the scan completed."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Int, Int32
from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.errors import Conflict
from app.models import Corpus, Shard
from app.partitions import forget_tasks
from workers.jobs.settings import ScanRequest, ScanSettings
from workers.packing import PackedExamples, pack_list
from workers.partials import MergedBlock, drawn_first, greatest_first, least_first, merge_block
from workers.scan import N_ACTIVE, active_seed
from workers.sinks import partials
from workers.sinks.scans import ScanWriter, SourceResult
from workers.sources.stored_windows import WindowSizes

FEW_POSITIONS = 100
"""Where the atlas is expected to hold fewer active positions of a unit, its sample of active
windows is stored."""


def finish_scan(
    session: Session,
    scan_id: int,
    corpus: Corpus,
    request: ScanRequest,
    settings: ScanSettings,
    sizes: WindowSizes,
    sampled: Int32[np.ndarray, " sampled"],
    go_on: Callable[[], None],
) -> None:
    """Completes the scan in the session's transaction, once every other shard is done.

    `go_on` is called now and then, and raises where it should not.
    """
    writer = ScanWriter(session, scan_id)
    writer.prepare()
    n_atlas_positions = int(sizes.n_counted[sampled].sum())
    seed = active_seed(settings.seed)
    ranks = {"top": greatest_first, "bottom": least_first, "active": drawn_first(seed)}
    k = {"top": settings.top_k, "bottom": settings.top_k, "active": N_ACTIVE}
    share = n_atlas_positions / max(corpus.n_tokens, 1)
    results = []
    for source in request.sources:
        n_active = np.zeros(source.n_units, np.int64)
        n_tokens = 0
        for block in partials.read(session.connection(), scan_id, source.id):
            go_on()
            merged = merge_block(block.payloads, k, ranks)
            last = block.first_unit + len(merged.moments.n_active)
            n_active[block.first_unit : last] = merged.moments.n_active.numpy()
            n_tokens = merged.moments.n_tokens
            writer.write_moments(source.id, block.first_unit, merged.moments)
            writer.write_examples(
                source.id, _packed(merged, block.first_unit, sizes.lengths, share)
            )
        results.append(SourceResult(source.id, n_active, n_tokens, n_atlas_positions))
        if n_tokens != corpus.n_tokens:
            raise Conflict(
                f"The shards of job {scan_id} counted {n_tokens:,} tokens and its corpus has "
                f"{corpus.n_tokens:,}, so its results cannot be trusted. Index it again."
            )
    writer.complete(corpus.id, results, corpus.n_tokens)
    partials.drop(session.connection(), scan_id)
    forget_tasks(session, scan_id)
    session.execute(delete(Shard).where(Shard.scan_id == scan_id))


def _packed(
    merged: MergedBlock, first: int, lengths: Int[np.ndarray, " windows"], share: float
) -> Iterator[tuple[int, PackedExamples]]:
    """Examples of the block's units; `share` of the corpus is in the atlas."""
    is_rare = merged.moments.n_active.numpy() * share < FEW_POSITIONS
    for unit in range(len(is_rare)):
        for kind, entries in merged.lists.items():
            if kind == "active" and (share == 1 or not is_rare[unit]):
                continue
            packed = pack_list(kind, entries.of(unit), lengths)
            if packed is not None:
                yield first + unit, packed
