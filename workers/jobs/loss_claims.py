"""One worker's hold on reports on recovered loss that it measures together.

A claim draws a new batch and writes it to the reports and to the worker's own row. Everything that
is written afterwards is written to the reports that are still running under that batch: one that
was deleted, asked for anew, or taken from a worker thought dead, is left alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import Engine, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import db, loss_queue
from app.errors import InvalidInput
from app.loss_queue import MOST_ATTEMPTS, Group
from app.models import LanguageModel, LossReport, Source, Worker
from workers.ablation import LossRecovered
from workers.jobs.pulse import Identity

MOST_AT_ONCE = 64
Result = LossRecovered | str
"""What was measured, or in words why it cannot be."""


@dataclass(frozen=True, slots=True)
class LossBatch:
    """Reports in this worker's hands; `place` is their first unit, and how many more there are."""

    batch: UUID
    group: Group
    n_attempts: int
    place: str

    @property
    def scan_id(self) -> int:
        """The scan that they are of."""
        return self.group.scan_id

    @property
    def index(self) -> None:
        """No shard."""

    def is_wanted(self, session: Session) -> bool:
        """Whether any of them is still ours to measure."""
        query = select(LossReport.id).where(
            LossReport.batch == self.batch, LossReport.status == "running"
        )
        return session.scalar(query.limit(1)) is not None


def claim(engine: Engine, group: Group, me: Identity) -> LossBatch | None:
    """The group's reports that are free; None where there is none.

    One that was begun before is taken alone: it may be what its batch died of. If some are left, a
    task for them is put into the queue.
    """
    with db.session(engine) as session:
        free = _lock_free(session, group)
        if not free:
            return None
        is_fresh = free[0].n_attempts == 0
        chosen = [each for each in free if each.n_attempts == 0] if is_fresh else free[:1]
        held = _take(session, chosen[:MOST_AT_ONCE], me)
        if len(free) > min(len(chosen), MOST_AT_ONCE):
            loss_queue.defer(session, group)
        return held


def take(engine: Engine, ids: Sequence[int], me: Identity) -> LossBatch:
    """These reports, whoever has them. Raises InvalidInput unless all are of one group."""
    with db.session(engine) as session:
        query = select(LossReport).where(LossReport.id.in_(ids)).order_by(LossReport.id)
        found = session.scalars(query.with_for_update()).all()
        if len({Group.of(each) for each in found}) != 1:
            raise InvalidInput("Reports are measured together for one scan, source and settings.")
        return _take(session, found, me)


def settle(engine: Engine, held: LossBatch, results: Mapping[int, Result]) -> None:
    """Writes what came of the reports that are still ours."""
    with db.session(engine) as session:
        for report in _ours(session, held):
            if (result := results.get(report.id)) is not None:
                _write(report, result)


def fail(engine: Engine, held: LossBatch, reason: str) -> None:
    """All that are still ours have failed, in words."""
    with db.session(engine) as session:
        for report in _ours(session, held):
            _write(report, reason)


def hand_back(
    engine: Engine,
    held: LossBatch,
    *,
    error: str | None = None,
    seconds: float = 0.0,
    is_counted: bool = True,
) -> None:
    """Gives up what is still ours, for another worker, or this one, to take after `seconds`.

    Without an `error`, and where not `is_counted`, the attempt does not count. What was begun often
    enough has failed.
    """
    with db.session(engine) as session:
        reports = _ours(session, held)
        for report in reports:
            report.batch, report.worker_id = None, None
            report.error = error or report.error
            if error is None or not is_counted:
                report.n_attempts = max(report.n_attempts - 1, 0)
            elif report.n_attempts >= MOST_ATTEMPTS:
                report.status = "failed"
                report.error = loss_queue.begun_too_often(report.n_attempts, error)
                continue
            report.status = "queued"
            report.not_before = func.now() + timedelta(seconds=seconds) if seconds else None
        session.flush()
        if any(report.status == "queued" for report in reports):
            loss_queue.defer(session, held.group, seconds)


def _lock_free(session: Session, group: Group) -> list[LossReport]:
    """Free reports, locked, those that were begun least often first; one more than are taken.

    What another claimed while we looked shows only now that it is locked.
    """
    query = (
        select(LossReport)
        .where(
            LossReport.scan_id == group.scan_id,
            LossReport.source_id == group.source_id,
            LossReport.settings == group.settings,
            loss_queue.is_free(),
        )
        .order_by(LossReport.n_attempts, LossReport.id)
        .limit(MOST_AT_ONCE + 1)
        .with_for_update(of=LossReport, skip_locked=True)
    )
    found = session.scalars(query).all()
    is_among = LossReport.id.in_([each.id for each in found])
    free = set(session.scalars(select(LossReport.id).where(is_among, loss_queue.is_free())))
    return [each for each in found if each.id in free]


def _take(session: Session, reports: Sequence[LossReport], me: Identity) -> LossBatch:
    held = _batch(session, reports)
    for report in reports:
        report.status, report.batch, report.worker_id = "running", held.batch, me.worker_id
        report.n_attempts, report.not_before = report.n_attempts + 1, None
    row = {"scan_id": held.scan_id, "shard": None, "batch": held.batch, "seen_at": func.now()}
    # The row may have been forgotten, as that of a machine that slept.
    new = insert(Worker).values(**me.row, doing=doing(held), n_tokens_done=0, **row)
    session.execute(new.on_conflict_do_update(index_elements=[Worker.id], set_=row))
    return held


def _batch(session: Session, reports: Sequence[LossReport]) -> LossBatch:
    first = reports[0]
    query = (
        select(LanguageModel.slug, Source.slug)
        .join(Source, Source.language_model_id == LanguageModel.id)
        .where(Source.id == first.source_id)
    )
    place = "/".join((*session.execute(query).one(), str(first.unit)))
    more = f" and {len(reports) - 1} more" if len(reports) > 1 else ""
    return LossBatch(uuid4(), Group.of(first), first.n_attempts + 1, place + more)


def doing(held: LossBatch) -> str:
    """What a worker that has it does, in words."""
    return f"measuring loss of {held.place}"


def _ours(session: Session, held: LossBatch) -> Sequence[LossReport]:
    query = (
        select(LossReport)
        .where(LossReport.batch == held.batch, LossReport.status == "running")
        .order_by(LossReport.id)
        .with_for_update()
    )
    return session.scalars(query).all()


def _write(report: LossReport, result: Result) -> None:
    report.batch = None
    if isinstance(result, str):
        report.status, report.error = "failed", result
        return
    values = asdict(result)
    for name in ("intact", "mean", "rule"):
        values[f"loss_{name}"] = values.pop(name)
    for name, value in values.items():
        setattr(report, name, value)
    report.status, report.error, report.is_measurable = "complete", None, result.is_measurable
