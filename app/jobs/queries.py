"""Reading jobs: scans, how far their shards are, and the workers that are alive.

How far a job is: what its shards have stored, and what the workers that are alive have done of
theirs beyond that. A complete job has no shards left; its own row says what was done.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Row, Select, exists, func, select, tuple_
from sqlalchemy.orm import Session, defer

from app import cursors, slugs, urls
from app.cursors import DEFAULT_LIMIT, Page
from app.errors import NotFound
from app.jobs.progress import ShardTotals, detail, read_worker
from app.jobs.schemas import JobDetail, JobStatus, JobWorker
from app.jobs.strip import ShardRow
from app.language_models.queries import unknown
from app.models import Corpus, LanguageModel, Scan, ScanSource, Shard, Source, Worker
from app.models.jobs import SECONDS_ALIVE

"""A worker that was not seen for longer is taken for dead."""
UNFINISHED: tuple[JobStatus, ...] = ("queued", "running")
OVER: tuple[JobStatus, ...] = ("complete", "failed", "cancelled")
MAX_ID = 2**31 - 1


def list_jobs(
    session: Session,
    *,
    statuses: Sequence[JobStatus] = (),
    model: str | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[JobDetail]:
    """Jobs, newest first; of some statuses, or of one model. Raises NotFound for the model."""
    listing = f"jobs|{','.join(sorted(statuses))}|{model or ''}"
    query = _jobs().order_by(Scan.id.desc()).limit(limit + 1)
    if statuses:
        query = query.where(Scan.status.in_(statuses))
    if model is not None:
        query = query.where(LanguageModel.id == _model_id(session, model))
    if cursor is not None:
        (before,) = cursors.decode(listing, cursor, (int,))
        query = query.where(Scan.id < before)
    rows = session.execute(query).all()
    items = _details(session, rows[:limit])
    more = cursors.encode(listing, (items[-1].id,)) if len(rows) > limit else None
    return Page(items=items, next=more)


def get_job(session: Session, job_id: int) -> JobDetail:
    """One job. Raises NotFound."""
    if 0 < job_id <= MAX_ID:
        row = session.execute(_jobs().where(Scan.id == job_id)).one_or_none()
        if row is not None:
            return _details(session, [row])[0]
    raise no_such_job(job_id)


def no_such_job(job_id: int) -> NotFound:
    """The failure for a job that is not there."""
    shown = str(job_id) if abs(job_id) < 10**20 else "of so large a number"
    return NotFound(f"There is no job {shown}. All jobs: {urls.jobs()}, or `unitscope jobs --all`.")


def list_workers(session: Session) -> list[JobWorker]:
    """The workers that are alive, by name."""
    rows = session.scalars(select(Worker).where(_is_alive()).order_by(Worker.name, Worker.id))
    return [read_worker(row) for row in rows]


def count_unfinished(session: Session) -> int:
    """Jobs that wait or run."""
    return session.scalar(select(func.count()).where(Scan.status.in_(UNFINISHED))) or 0


def list_shards(session: Session, job_id: int) -> list[ShardRow]:
    """A job's shards in order, without their errors, which may be long."""
    is_troubled = Shard.error.is_not(None) & (Shard.status != "done")
    query = (
        select(
            Shard.index,
            Shard.kind,
            Shard.status,
            Shard.first_window,
            Shard.last_window,
            Shard.n_tokens,
            Shard.n_tokens_done,
            Shard.n_attempts,
            is_troubled,
        )
        .where(Shard.scan_id == job_id)
        .order_by(Shard.index)
    )
    return [ShardRow(*row) for row in session.execute(query)]


def shard_errors(session: Session, job_id: int, indices: list[int]) -> dict[int, str]:
    """By shard, what went wrong last."""
    query = (
        select(Shard.index, func.coalesce(Shard.error, ""))
        .where(Shard.scan_id == job_id, Shard.index.in_(indices))
        .order_by(Shard.index)
    )
    return dict(session.execute(query).all())


def _jobs() -> Select[Scan, str, str, bool]:
    """Scans, each with its model's slug, its corpus's slug, and whether the model has a page."""
    is_visible = exists().where(
        Source.language_model_id == LanguageModel.id,
        ScanSource.source_id == Source.id,
        ScanSource.is_current,
    )
    return (
        select(Scan, LanguageModel.slug, Corpus.slug, is_visible)
        .join(LanguageModel, LanguageModel.id == Scan.language_model_id)
        .join(Corpus, Corpus.id == Scan.corpus_id)
        .options(defer(Scan.atlas_windows, raiseload=True))
    )


def _model_id(session: Session, slug: str) -> int:
    """Of any model with a job, whether or not it has a page yet."""
    if slugs.is_slug(slug):
        query = select(LanguageModel.id).where(LanguageModel.slug == slug)
        if (found := session.scalar(query)) is not None:
            return found
    known = session.scalars(select(LanguageModel.slug).order_by(LanguageModel.slug)).all()
    raise NotFound(unknown("model {}", slug, known, urls.api_jobs()))


def _is_alive() -> ColumnElement[bool]:
    """Seen lately. A time far ahead was written under a clock that was set back since, so it says
    nothing; nobody alive writes one."""
    age = func.extract("epoch", func.now() - Worker.seen_at)
    return func.abs(age) <= SECONDS_ALIVE


def _details(session: Session, rows: Sequence[Row[Scan, str, str, bool]]) -> list[JobDetail]:
    if not rows:
        return []
    scans = [scan for scan, *_ in rows]
    totals = _totals(session, [scan.id for scan in scans])
    workers = list_workers(session)
    readable = _readable(session, [scan for scan in scans if scan.status == "complete"])
    return [
        detail(
            scan,
            (model, corpus, has_page),
            totals.get(scan.id, ShardTotals()),
            [each for each in workers if each.job == scan.id and scan.status != "complete"],
            readable[_pair(scan)] if scan.status == "complete" else set(),
        )
        for scan, model, corpus, has_page in rows
    ]


def _totals(session: Session, scan_ids: Sequence[int]) -> dict[int, ShardTotals]:
    """For each scan that has shards, how many there are of each status and how far they are."""
    query = (
        select(Shard.scan_id, Shard.status, func.count(), func.sum(Shard.n_tokens_done))
        .where(Shard.scan_id.in_(scan_ids))
        .group_by(Shard.scan_id, Shard.status)
        .order_by(Shard.scan_id, Shard.status)
    )
    totals: dict[int, ShardTotals] = {}
    for scan_id, status, n, n_tokens_done in session.execute(query):
        totals.setdefault(scan_id, ShardTotals()).add(status, n, int(n_tokens_done))
    return totals


def _pair(scan: Scan) -> tuple[int, int]:
    return scan.language_model_id, scan.corpus_id


def _readable(session: Session, scans: Sequence[Scan]) -> dict[tuple[int, int], set[str]]:
    """For each model and corpus, the sources whose units can be read there."""
    pairs = {_pair(scan) for scan in scans}
    if not pairs:
        return {}
    of = tuple_(Source.language_model_id, ScanSource.corpus_id)
    query = (
        select(Source.language_model_id, ScanSource.corpus_id, Source.slug)
        .join(ScanSource, (ScanSource.source_id == Source.id) & ScanSource.is_current)
        .where(of.in_(pairs))
    )
    readable: dict[tuple[int, int], set[str]] = {pair: set() for pair in pairs}
    for model_id, corpus_id, slug in session.execute(query):
        readable[model_id, corpus_id].add(slug)
    return readable
