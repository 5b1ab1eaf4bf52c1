"""The one bridge from the web side to the workers: the command `index` runs a scan in its process.

`app/` imports no torch, but a person has one command, `unitscope`. The import below is lazy, so
that only `index` pays for it (docs/decisions/0007-one-command.md).
"""

import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import psycopg
from sqlalchemy import func, select
from sqlalchemy.exc import InterfaceError, OperationalError

from app import db, urls
from app.errors import DatabaseUnavailable, InvalidInput
from app.labels.making import after_scan
from app.language_models.queries import get_model
from app.models import CompletedIndex, Corpus, LanguageModel, ScanSource, Source


def index(options: dict[str, Any], fingerprint: str | None) -> str:
    """Carries out a request to index; returns the path of the page that shows what comes of it.

    `options` are the fields of `workers.index.IndexRequest`. With a `fingerprint`, the request is
    remembered under it once it is complete. Raises AppError for what a person can mend.
    """
    engine = db.get_engine()
    with _database_explained():
        db.prepare(engine)

    from pydantic import ValidationError

    from workers.index import IndexRequest, run_index
    from workers.jobs.console import log_to_console
    from workers.progress import TerminalProgress

    log_to_console(logging.ERROR)
    try:
        request = IndexRequest(**options)
    except ValidationError as error:
        raise InvalidInput(_say(error.errors(include_url=False))) from error
    with TerminalProgress() as progress, _database_explained():
        then = partial(after_scan, engine, report=progress.note)
        result = run_index(request, engine, progress, then)
    if fingerprint is not None and result.is_complete:
        remember(fingerprint, result.model_slug, result.corpus_slug)
    if result.is_complete:
        with db.session(engine) as session:
            is_alone = len(get_model(session, result.model_slug).corpora) < 2
        return urls.model(result.model_slug, corpus=None if is_alone else result.corpus_slug)
    return urls.job(result.scan_ids[-1])


def work(options: dict[str, Any]) -> None:
    """Carries out shards of all jobs until told to end by SIGTERM or SIGINT.

    `options` are the fields of `workers.jobs.options.WorkerOptions`. A second signal ends the
    process at once; even then only what was not flushed is done again.
    """
    engine = db.get_engine()
    with _database_explained():
        db.prepare(engine)

    from workers.jobs.console import log_to_console
    from workers.jobs.options import WorkerOptions
    from workers.jobs.worker import ShardWorker

    log_to_console(logging.INFO)
    then = partial(after_scan, engine, report=logging.getLogger("unitscope").info)
    worker = ShardWorker(engine, WorkerOptions(**options), after_scan=then)

    def leave(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        worker.leave()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    worker.run()


def check_device(device: str) -> None:
    """Raises InvalidInput for a device that this machine does not have."""
    from workers.sources.language_models import choose_device

    choose_device(device)


def measure_loss(ids: Sequence[int], device: str, *, trust_remote_code: bool) -> None:
    """Measures queued reports on recovered loss (app.evidence.loss) in this process."""
    from workers.loss_reports import measure_here

    measure_here(db.get_engine(), ids, device, trust_remote_code=trust_remote_code)


@contextmanager
def _database_explained() -> Iterator[None]:
    """Says in a line that the database went away, and what that means for the work."""
    try:
        yield
    except (OperationalError, InterfaceError, psycopg.OperationalError) as error:
        reason = next(iter(str(getattr(error, "orig", error)).splitlines()), "no reason given")
        raise DatabaseUnavailable(
            f"The database stopped answering ({reason}). Nothing half-made is kept; when it "
            "answers again, run the same command again."
        ) from error


def remember(fingerprint: str, model_slug: str, corpus_slug: str) -> None:
    """Notes that everything asked for under `fingerprint` is now complete."""
    with db.session() as session:
        model_id = session.scalars(
            select(LanguageModel.id).where(LanguageModel.slug == model_slug)
        ).one()
        corpus_id = session.scalars(select(Corpus.id).where(Corpus.slug == corpus_slug)).one()
        session.merge(
            CompletedIndex(
                fingerprint=fingerprint,
                language_model_id=model_id,
                corpus_id=corpus_id,
                n_sources=session.scalar(_count_current(model_id, corpus_id)) or 0,
            )
        )


def is_complete(fingerprint: str) -> bool:
    """Whether what was remembered under `fingerprint` is still all there."""
    with db.session() as session:
        done = session.get(CompletedIndex, fingerprint)
        if done is None or done.n_sources == 0:
            return False
        current = session.scalar(_count_current(done.language_model_id, done.corpus_id)) or 0
        return current >= done.n_sources


def _count_current(model_id: int, corpus_id: int) -> Any:
    return (
        select(func.count())
        .select_from(ScanSource)
        .join(Source, Source.id == ScanSource.source_id)
        .where(
            Source.language_model_id == model_id,
            ScanSource.corpus_id == corpus_id,
            ScanSource.is_current,
        )
    )


def _say(errors: list[Any]) -> str:
    first = errors[0]
    name = "--" + "-".join(str(part) for part in first["loc"]).replace("_", "-")
    return f"{name}={first['input']!r} will not do: {first['msg']}."
