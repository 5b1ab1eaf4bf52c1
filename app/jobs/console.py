"""Jobs in the terminal: a table for a person, tab-separated lines for a program.

What comes from the database may hold anything; characters that a terminal would obey are left out.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.evidence.loss import LossCounts
from app.jobs.pages import JobPage, status_words
from app.jobs.schemas import JobDetail, JobWorker
from app.numbers import format_count, format_share, format_short_count
from app.times import format_about, format_duration, format_moment

JOB_HEADINGS = (
    "job",
    "status",
    "model",
    "corpus",
    "done",
    "tokens",
    "tokens/s",
    "left",
    "begun (UTC)",
)
WORKER_HEADINGS = ("worker", "device", "does", "job", "shard", "tokens/s")
TO_THE_RIGHT = {"job", "shard", "done", "tokens", "tokens/s", "left"}


def print_jobs(jobs: Sequence[JobDetail], workers: Sequence[JobWorker], losses: LossCounts) -> None:
    """Jobs, reports on loss if any are not complete, then the workers that are alive."""
    if not jobs:
        print("No jobs. `unitscope index MODEL --corpus CORPUS` makes one.")
    else:
        _print_table(JOB_HEADINGS, map(_job_row, jobs))
    if losses.words:
        hint = "" if losses.is_served or not losses.n_open else "; no worker serves them"
        print(f"\nReports on recovered loss: {losses.words}{hint}")
    if workers:
        print()
        _print_table(WORKER_HEADINGS, map(_worker_row, workers))
    elif losses.n_open or any(job.status == "queued" for job in jobs):
        print("\nNo worker is alive: `unitscope worker` starts one.")


def print_job(page: JobPage, url: str) -> None:
    """One job in detail, a fact a line."""
    for name, value in _facts(page, url):
        print(f"{name}\t{value}" if not sys.stdout.isatty() else f"{name:<12} {value}")
    for trouble in page.troubles:
        tried = "once" if trouble.n_attempts == 1 else f"{trouble.n_attempts} times"
        print(f"{printable(trouble.what)}, tried {tried}: {printable(trouble.error)}")
    if page.job.workers:
        print()
        _print_table(WORKER_HEADINGS, map(_worker_row, page.job.workers))


def printable(text: str) -> str:
    """The text in one line, without what moves a cursor or turns a line around."""
    return "".join(c if c.isprintable() else " " for c in text)


def _facts(page: JobPage, url: str) -> Iterable[tuple[str, str]]:
    job = page.job
    yield "job", f"{job.id}, {url}"
    yield "status", page.status_words
    yield "model", f"{job.model} over {job.corpus}"
    if job.priority:
        yield "priority", str(job.priority)
    yield "sources", printable(", ".join(source.source for source in job.sources))
    yield "tokens", f"{format_count(job.n_tokens_done)} of {_or_none(job.n_tokens)}"
    yield "done", _share(job)
    if page.is_live:
        yield "tokens/s", _rate(job.tokens_per_second)
        yield "left", _left(job)
    if job.shards.n:
        states = ", ".join(f"{n} {status}" for status, n in job.shards.by_status.items())
        yield "shards", states
    yield "begun", _begun(job)
    if job.seconds_taken is not None:
        yield "took", format_duration(job.seconds_taken)
    if job.error:
        yield "error", printable(job.error)
    if page.is_stuck:
        yield "worker", "none is alive: `unitscope worker` starts one"
    if page.can_be_retried:
        yield "go on", f"unitscope jobs retry {job.id}"


def _job_row(job: JobDetail) -> tuple[str, ...]:
    tokens = format_short_count(job.n_tokens) if job.n_tokens else ""
    status = status_words(job) if sys.stdout.isatty() else job.status
    shown = (str(job.id), status, job.model, job.corpus, _share(job), tokens)
    begun = _begun(job).removesuffix(" UTC")
    return (*shown, _rate(job.tokens_per_second), _left(job), begun)


def _worker_row(worker: JobWorker) -> tuple[str, ...]:
    numbers = ("" if each is None else str(each) for each in (worker.job, worker.shard))
    return (worker.name, worker.device, worker.doing, *numbers, _rate(worker.tokens_per_second))


def _print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines = [[printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in (headings, *lines):
            print("\t".join(line))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        side: Literal["left", "right"] = "right" if heading in TO_THE_RIGHT else "left"
        table.add_column(heading, justify=side, no_wrap=heading in TO_THE_RIGHT)
    for line in lines:
        table.add_row(*map(escape, line))
    Console(highlight=False).print(table)


def _share(job: JobDetail) -> str:
    return "" if job.share_done is None else format_share(job.share_done)


def _rate(rate: float | None) -> str:
    return "" if rate is None else format_count(int(rate))


def _left(job: JobDetail) -> str:
    return "" if job.seconds_left is None else format_about(job.seconds_left)


def _begun(job: JobDetail) -> str:
    return format_moment(job.started_at or job.created_at)


def _or_none(n_tokens: int) -> str:
    return format_count(n_tokens) if n_tokens else "a number not known yet"
