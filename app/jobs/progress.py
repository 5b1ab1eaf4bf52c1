"""How far a job is, from its rows. What rows hold is checked: a worker may write anything."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from app import urls
from app.jobs.schemas import (
    JobDetail,
    JobLinks,
    JobShards,
    JobSource,
    JobStatus,
    JobWorker,
)
from app.models import Scan, Worker

LONGEST_SECONDS = 10 * 365.25 * 86400
"""A guess beyond this says only that the rate is not the true one."""


@dataclass(slots=True)
class ShardTotals:
    """A scan's shards, counted."""

    by_status: dict[str, int] = field(default_factory=dict)
    n_tokens_done: int = 0

    def add(self, status: str, n: int, n_tokens_done: int) -> None:
        """Counts `n` more shards of one status."""
        self.by_status[status] = self.by_status.get(status, 0) + n
        self.n_tokens_done += n_tokens_done

    @property
    def n(self) -> int:
        return sum(self.by_status.values())


def detail(
    scan: Scan,
    names: tuple[str, str, bool],
    totals: ShardTotals,
    workers: list[JobWorker],
    readable: set[str],
) -> JobDetail:
    """The job. `names`: the model's slug, the corpus's, and whether the model has a page;
    `readable`: the sources whose units can be read."""
    model, corpus, has_page = names
    n_tokens = scan.n_tokens or (scan.n_tokens_done if scan.status == "complete" else 0)
    n_done = _tokens_done(scan, totals, workers, n_tokens)
    rate = total_rate(workers) if scan.status == "running" else None
    return JobDetail(
        id=scan.id,
        status=cast("JobStatus", scan.status),
        priority=scan.priority,
        model=model,
        corpus=corpus,
        sources=_sources(scan, model, corpus, readable),
        n_tokens=n_tokens,
        n_tokens_done=n_done,
        share_done=share(n_done, n_tokens),
        tokens_per_second=rate,
        seconds_left=seconds_left(n_tokens - n_done, rate),
        seconds_taken=_seconds_taken(scan),
        created_at=scan.created_at,
        started_at=scan.started_at,
        finished_at=scan.finished_at,
        error=scan.error,
        shards=JobShards(
            n=totals.n, n_done=totals.by_status.get("done", 0), by_status=totals.by_status
        ),
        workers=workers,
        settings={name: value for name, value in scan.settings.items() if name != "sources"},
        software_version=scan.software_version,
        links=JobLinks(
            job=urls.api_job(scan.id),
            page=urls.job(scan.id),
            model=urls.model(model) if has_page else None,
            corpus=urls.corpus(corpus),
        ),
    )


def read_worker(row: Worker) -> JobWorker:
    """A worker, without figures that cannot be."""
    return JobWorker(
        name=row.name,
        device=row.device,
        queues=row.queues,
        job=row.scan_id,
        shard=row.shard,
        doing=row.doing,
        n_tokens_done=max(row.n_tokens_done, 0),
        tokens_per_second=_rate(row.tokens_per_second),
        started_at=row.started_at,
        seen_at=row.seen_at,
    )


def share(n_done: int, n: int) -> float | None:
    """`n_done` of `n`, from 0 to 1; None of nothing."""
    return min(max(n_done / n, 0.0), 1.0) if n > 0 else None


def total_rate(workers: Sequence[JobWorker]) -> float | None:
    """Tokens a second of all workers that tell theirs; None where none does."""
    rates = [rate for worker in workers if (rate := worker.tokens_per_second) is not None]
    return sum(rates) if rates else None


def seconds_left(n_tokens: int, rate: float | None) -> float | None:
    """At the present rate; None where nothing is to be scanned, or no end is in sight."""
    if n_tokens <= 0 or not rate:
        return None
    seconds = n_tokens / rate
    return seconds if seconds <= LONGEST_SECONDS else None


def _rate(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def _tokens_done(
    scan: Scan, totals: ShardTotals, workers: Sequence[JobWorker], n_tokens: int
) -> int:
    if totals.n:
        n_done = totals.n_tokens_done + sum(worker.n_tokens_done for worker in workers)
    else:
        n_done = scan.n_tokens_done
    return min(max(n_done, 0), n_tokens) if n_tokens else max(n_done, 0)


def _seconds_taken(scan: Scan) -> float | None:
    """None also where the clock was set back in between."""
    began: datetime = scan.started_at or scan.created_at
    if scan.finished_at is None or scan.finished_at < began:
        return None
    return (scan.finished_at - began).total_seconds()


def _sources(scan: Scan, model: str, corpus: str, readable: set[str]) -> list[JobSource]:
    """As the request names them; a scan of before there were requests has their slugs alone."""
    asked: Any = scan.request.get("sources")
    if not isinstance(asked, list):
        asked = scan.settings.get("sources")
    asked = asked if isinstance(asked, list) else []
    found = [each if isinstance(each, dict) else {"slug": each} for each in asked]
    return [
        JobSource(
            source=each["slug"],
            n_units=each["n_units"] if isinstance(each.get("n_units"), int) else None,
            page=_source_page(model, each["slug"], corpus) if each["slug"] in readable else None,
        )
        for each in found
        if isinstance(each.get("slug"), str)
    ]


def _source_page(model: str, source: str, corpus: str) -> str:
    return urls.source(model, source, corpus=corpus)
