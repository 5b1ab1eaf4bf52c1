"""Reports on the loss that a rule recovers for a unit: found where there is one, or asked for."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import loss_queue, models
from app.errors import Conflict, InvalidInput, NotFound
from app.loss_queue import Group
from app.models import ScanSource, Source
from app.rules.language import AnyRule, to_json

DEFAULT_WINDOWS, MAX_WINDOWS = 256, 4096
MAX_SEED = 2**32 - 1
_FIGURES = (
    "n_tokens",
    "n_documents",
    "loss_intact",
    "loss_mean",
    "loss_rule",
    "ratio",
    "ratio_low",
    "ratio_high",
    "is_measurable",
)


@dataclass(frozen=True, slots=True)
class LossCounts:
    """How many reports are not complete, by status; `is_served`: whether a worker measures."""

    by_status: dict[str, int]
    is_served: bool

    @property
    def n_open(self) -> int:
        """Those of which more is to come."""
        return sum(self.by_status.get(status, 0) for status in ("queued", "running"))

    @property
    def words(self) -> str:
        """`2 queued, 1 failed`; nothing where there is none."""
        order = ("queued", "running", "failed")
        found = ((status, self.by_status.get(status, 0)) for status in order)
        return ", ".join(f"{n:,} {status}" for status, n in found if n)


class LossReport(BaseModel):
    """As app.models.LossReport, which says what each field is."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    id: int
    status: str
    error: str | None
    n_attempts: int
    unit: int
    rule: str
    settings: dict[str, int]
    n_tokens: int | None
    n_documents: int | None
    loss_intact: float | None
    loss_mean: float | None
    loss_rule: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    is_measurable: bool | None
    software_version: str
    created_at: datetime

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it by itself."""
        return self.status in ("complete", "failed")


def count_loss(session: Session) -> LossCounts:
    """Over all models."""
    query = (
        select(models.LossReport.status, func.count())
        .where(models.LossReport.status != "complete")
        .group_by(models.LossReport.status)
    )
    by_status = dict(session.execute(query).all())
    return LossCounts(by_status, is_served=loss_queue.is_served(session))


def find_loss(
    session: Session, scan_id: int, source_id: int, unit: int, rule: AnyRule
) -> LossReport | None:
    """What is known of a unit and a rule over a scan; None where nobody asked."""
    found = session.scalars(_one(scan_id, source_id, unit, rule)).one_or_none()
    return None if found is None else LossReport.model_validate(found)


def ask_loss(
    session: Session,
    scan_id: int,
    source_id: int,
    unit: int,
    rule: AnyRule,
    *,
    n_windows: int = DEFAULT_WINDOWS,
    seed: int = 0,
    is_again: bool = False,
) -> LossReport:
    """The report on a unit, scan and rule; a queued one, unless one of these settings is there.

    One that waits, runs, or is complete by the same settings is left as it is; a complete one is
    only measured again where `is_again`. To be followed by `enqueue`, after all that are asked for.
    Raises NotFound for a source that the scan does not have and a unit that the source does not,
    InvalidInput for settings out of bounds.
    """
    _check_settings(n_windows, seed)
    key = {"scan_id": scan_id, "source_id": source_id}
    scanned, source = session.get(ScanSource, key), session.get(Source, source_id)
    if scanned is None or source is None:
        raise NotFound(f"Scan {scan_id} has no source {source_id}.")
    if not 0 <= unit < source.n_units:
        raise NotFound(f"{source.slug} has no unit {unit}: it has {source.n_units:,}, from 0.")
    fresh = {
        "settings": {"n_windows": n_windows, "seed": seed},
        "status": "queued",
        "n_attempts": 0,
        "software_version": version("unitscope"),
    }
    same = {**key, "unit": unit, "rule_hash": _hash(rule)}
    report = _upsert(session, **same, corpus_id=scanned.corpus_id, rule=to_json(rule), **fresh)
    is_same = report.settings == fresh["settings"]
    has_result = report.status == "complete" and not is_again
    if not is_same or not (report.status in ("queued", "running") or has_result):
        cleared = dict.fromkeys((*_FIGURES, "error", "worker_id", "batch", "not_before"))
        for name, value in (cleared | fresh).items():
            setattr(report, name, value)
        session.flush()
    return LossReport.model_validate(report)


def enqueue(session: Session, reports: list[LossReport], scan_id: int, source_id: int) -> None:
    """Leaves queued ones of a scan and a source to workers."""
    settings = [each.settings for each in reports if each.status == "queued"]
    for group in sorted({Group(scan_id, source_id, **each) for each in settings}):
        loss_queue.defer(session, group)


def delete_loss(session: Session, scan_id: int, source_id: int, unit: int, rule: AnyRule) -> None:
    """Takes back what is not complete; who measures it stops. Raises NotFound, and Conflict."""
    found = session.scalars(_one(scan_id, source_id, unit, rule).with_for_update()).one_or_none()
    if found is None:
        raise NotFound("Nobody asked for the loss that this rule recovers here.")
    if found.status == "complete":
        raise Conflict(
            "The report is complete, so there is nothing to take back. Ask for it `again` to have "
            "it measured anew."
        )
    session.delete(found)


def _one(scan_id: int, source_id: int, unit: int, rule: AnyRule) -> Any:
    return select(models.LossReport).where(
        models.LossReport.scan_id == scan_id,
        models.LossReport.source_id == source_id,
        models.LossReport.unit == unit,
        models.LossReport.rule_hash == _hash(rule),
    )


def _upsert(session: Session, **values: Any) -> models.LossReport:
    """The row, new or as it was, locked."""
    new = insert(models.LossReport).values(**values)
    locked = new.on_conflict_do_update(
        index_elements=["scan_id", "source_id", "unit", "rule_hash"],
        set_={"rule": new.excluded.rule},
    )
    report_id = session.scalars(locked.returning(models.LossReport.id)).one()
    return session.get_one(models.LossReport, report_id, populate_existing=True)


def _check_settings(n_windows: int, seed: int) -> None:
    if not 1 <= n_windows <= MAX_WINDOWS:
        raise InvalidInput(f"n_windows is {n_windows}: wanted 1 to {MAX_WINDOWS:,} windows.")
    if not 0 <= seed <= MAX_SEED:
        raise InvalidInput(f"The seed is {seed}: wanted 0 to {MAX_SEED:,}.")


def _hash(rule: AnyRule) -> str:
    return blake2b(to_json(rule).encode(), digest_size=16).hexdigest()
