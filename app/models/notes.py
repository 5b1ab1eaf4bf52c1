"""What people say of units. A note belongs to a unit, not to a scan: a newer scan keeps it."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base

EXPLANATION_VECTOR = "to_tsvector('simple'::regconfig, text)"
"""What full-text search looks into."""


class Explanation(Base):
    """What a person says that a unit responds to; the newest takes the automatic label's place.

    author  the name of the token by which it was written
    """

    __tablename__ = "explanations"
    __table_args__ = (
        Index("ix_explanations_unit", "source_id", "unit", "id"),
        Index("ix_explanations_text", text(EXPLANATION_VECTOR), postgresql_using="gin"),
        Index(
            "uq_explanations_text", "source_id", "unit", "author", text("md5(text)"), unique=True
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"))
    unit: Mapped[int]
    text: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Hypothesis(Base):
    """A rule that was held against a unit, saved under a name with the figures that it had then.

    rule       canonical JSON (app.rules.language.to_json)
    corpus     the slug of the corpus whose atlas was asked; the corpus itself may go
    threshold  the activation above which the unit counted as firing
    evidence   app.hypotheses.schemas.Figures: what the report said when it was saved
    author     the name of the token by which it was written
    """

    __tablename__ = "hypotheses"
    __table_args__ = (UniqueConstraint("source_id", "unit", "name"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"))
    unit: Mapped[int]
    name: Mapped[str]
    rule: Mapped[str]
    corpus: Mapped[str]
    threshold: Mapped[float] = mapped_column(DOUBLE_PRECISION)
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB)
    author: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
