"""Reports on the loss that a rule recovers for a unit: found where there is one, or asked for."""

from hashlib import blake2b
from importlib.metadata import version

from pydantic import BaseModel, ConfigDict
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app import models
from app.errors import InvalidInput, NotFound
from app.models import ScanSource, Source
from app.rules.language import AnyRule, to_json

DEFAULT_WINDOWS = 256


class LossReport(BaseModel):
    """As app.models.LossReport, which says what each field is."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    id: int
    status: str
    error: str | None
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


def find_loss(
    session: Session, scan_id: int, source_id: int, unit: int, rule: AnyRule
) -> LossReport | None:
    """What is known of a unit and a rule over a scan; None where nobody asked."""
    query = select(models.LossReport).where(
        models.LossReport.scan_id == scan_id,
        models.LossReport.source_id == source_id,
        models.LossReport.unit == unit,
        models.LossReport.rule_hash == _hash(rule),
    )
    found = session.scalars(query).one_or_none()
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
) -> LossReport:
    """A queued report; it takes the place of one on the same unit, scan and rule.

    Raises NotFound for a source that the scan does not have and a unit that the source does not,
    InvalidInput for no windows.
    """
    if n_windows < 1:
        raise InvalidInput(f"n_windows is {n_windows}: wanted at least 1 window.")
    key = {"scan_id": scan_id, "source_id": source_id}
    scanned, source = session.get(ScanSource, key), session.get(Source, source_id)
    if scanned is None or source is None:
        raise NotFound(f"Scan {scan_id} has no source {source_id}.")
    if not 0 <= unit < source.n_units:
        raise NotFound(f"{source.slug} has no unit {unit}: it has {source.n_units:,}, from 0.")
    same = {**key, "unit": unit, "rule_hash": _hash(rule)}
    session.execute(delete(models.LossReport).filter_by(**same))
    report = models.LossReport(
        **same,
        corpus_id=scanned.corpus_id,
        rule=to_json(rule),
        settings={"n_windows": n_windows, "seed": seed},
        status="queued",
        n_attempts=0,
        software_version=version("unitscope"),
    )
    session.add(report)
    session.flush()
    return LossReport.model_validate(report)


def _hash(rule: AnyRule) -> str:
    return blake2b(to_json(rule).encode(), digest_size=16).hexdigest()
