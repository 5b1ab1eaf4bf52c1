"""What the pages of jobs show."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app import urls
from app.cursors import Page
from app.evidence.loss import LossCounts, count_loss
from app.jobs import queries
from app.jobs.schemas import JobDetail, JobStatus, JobWorker
from app.jobs.strip import Cell, describe, strip
from app.tasks import scan_queue

PAGE_SIZE = 20
MAX_TROUBLES = 10
STATUS_WORDS: dict[JobStatus, str] = {
    "queued": "waiting for a worker",
    "running": "running",
    "complete": "complete",
    "failed": "failed",
    "cancelled": "cancelled",
}


@dataclass(frozen=True, slots=True)
class JobsPage:
    """All jobs, a page at a time, and the workers that are alive."""

    jobs: Page[JobDetail]
    workers: list[JobWorker]
    losses: LossCounts
    n_unfinished: int
    cursor: str | None

    @property
    def is_live(self) -> bool:
        """Whether anything here will change by itself."""
        return self.n_unfinished > 0 or self.losses.n_open > 0

    @property
    def is_stuck(self) -> bool:
        """Whether jobs wait and nobody is there to take them up."""
        return any(
            is_waiting(job) and not n_serving(self.workers, job.id) for job in self.jobs.items
        )

    @property
    def href(self) -> str:
        return urls.jobs(cursor=self.cursor)

    @property
    def next_href(self) -> str | None:
        return urls.jobs(cursor=self.jobs.next) if self.jobs.next else None

    def status_words(self, job: JobDetail) -> str:
        return status_words(job)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A shard that failed, and is not done since."""

    what: str
    n_attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class JobPage:
    """One job in detail."""

    job: JobDetail
    cells: list[Cell]
    troubles: list[Trouble]
    n_troubles: int
    n_alive: int

    @property
    def is_live(self) -> bool:
        return self.job.status in queries.UNFINISHED

    @property
    def is_stuck(self) -> bool:
        return self.n_alive == 0 and is_waiting(self.job)

    @property
    def n_elsewhere(self) -> int:
        """Workers that are busy with other jobs while this one waits for one."""
        return self.n_alive if is_waiting(self.job) and not self.job.workers else 0

    @property
    def is_merging(self) -> bool:
        """Whether every token is scanned, but not everything is stored."""
        return self.job.status == "running" and self.job.share_done == 1

    @property
    def can_be_retried(self) -> bool:
        return self.job.status == "failed" and self.job.shards.n > 0

    @property
    def status_words(self) -> str:
        return status_words(self.job)

    @property
    def n_units(self) -> int:
        return sum(source.n_units or 0 for source in self.job.sources)


def is_waiting(job: JobDetail) -> bool:
    """Whether it is for workers to go on; without shards, the process that began it does it all."""
    return job.status == "queued" or (job.status == "running" and job.shards.n > 0)


def n_serving(workers: Sequence[JobWorker], job_id: int) -> int:
    """How many of them would take a shard of the job; those of `index --wait` serve their own."""
    return sum(worker.serves(scan_queue(job_id)) for worker in workers)


def status_words(job: JobDetail) -> str:
    """The status for people."""
    if job.status == "running" and job.shards.n and not job.workers:
        return "begun, waiting for a worker"
    if job.status == "running" and job.share_done == 1:
        return "scanned, being stored"
    return STATUS_WORDS[job.status]


def jobs_page(session: Session, cursor: str | None) -> JobsPage:
    """Raises InvalidInput for a stray cursor."""
    jobs = queries.list_jobs(session, limit=PAGE_SIZE, cursor=cursor)
    workers = queries.list_workers(session)
    n_unfinished = queries.count_unfinished(session)
    return JobsPage(jobs, workers, count_loss(session), n_unfinished, cursor)


def job_page(session: Session, job_id: int) -> JobPage:
    """Raises NotFound."""
    job = queries.get_job(session, job_id)
    shards = queries.list_shards(session, job_id)
    in_hand = {each.shard: each.n_tokens_done for each in job.workers if each.shard is not None}
    troubled = {shard.index: shard for shard in shards if shard.is_troubled}
    errors = queries.shard_errors(session, job_id, list(troubled)[:MAX_TROUBLES])
    return JobPage(
        job=job,
        cells=strip(shards, in_hand),
        troubles=[
            Trouble(describe(troubled[index]), troubled[index].n_attempts, error)
            for index, error in errors.items()
        ],
        n_troubles=len(troubled),
        n_alive=n_serving(queries.list_workers(session), job_id),
    )
