"""Evidence that workers make: what a rule recovers of a unit's part in the model's loss."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class LossReport(Base):
    """Loss recovered by one rule for one unit, over windows of a scan's sample; asked or measured.

    status      queued | running | complete | failed; results stand where it is complete
    rule        canonical JSON (app.rules.language.to_json); rule_hash is BLAKE2b of it, 32 digits
    settings    n_windows, seed
    loss_*      nats a token: intact, at the unit's mean, at the rule's two conditional means
    ratio       (loss_mean - loss_rule) / (loss_mean - loss_intact), with its 95% interval by
                documents; NULL where it is not measurable
    worker_id, n_attempts  who has it, or had it last; times it was begun
    batch       drawn anew by each claim, and written to the worker's row as well: whoever holds the
                report still has this batch; NULL while it is queued
    not_before  a queued report is not begun again sooner; NULL: at once
    error       in words, what went wrong last
    """

    __tablename__ = "loss_reports"
    __table_args__ = (
        UniqueConstraint("scan_id", "source_id", "unit", "rule_hash"),
        Index("ix_loss_reports_open", "status", postgresql_where=text("status <> 'complete'")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    scan_id: Mapped[int] = mapped_column(ForeignKey("scans.id", ondelete="CASCADE"))
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"))
    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpora.id", ondelete="CASCADE"))
    unit: Mapped[int]
    rule: Mapped[str]
    rule_hash: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)
    status: Mapped[str]
    error: Mapped[str | None]
    worker_id: Mapped[UUID | None]
    batch: Mapped[UUID | None]
    n_attempts: Mapped[int] = mapped_column(server_default="0")
    not_before: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    n_tokens: Mapped[int | None] = mapped_column(BigInteger)
    n_documents: Mapped[int | None]
    loss_intact: Mapped[float | None] = mapped_column(DOUBLE_PRECISION)
    loss_mean: Mapped[float | None] = mapped_column(DOUBLE_PRECISION)
    loss_rule: Mapped[float | None] = mapped_column(DOUBLE_PRECISION)
    ratio: Mapped[float | None] = mapped_column(DOUBLE_PRECISION)
    ratio_low: Mapped[float | None] = mapped_column(DOUBLE_PRECISION)
    ratio_high: Mapped[float | None] = mapped_column(DOUBLE_PRECISION)
    is_measurable: Mapped[bool | None]
    software_version: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
