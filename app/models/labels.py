"""Automatic labels: for each unit the rule of a library that explains most of it."""

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import REAL
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base

WORDS_VECTOR = "to_tsvector('simple'::regconfig, words)"
"""What full-text search looks into."""


class Label(Base):
    """A unit's best rule, made from a scan's atlas by app.labels once the scan is complete.

    A unit without a row has none: it is too rare in the sample, or no rule has its mean greater.

    rule          canonical JSON (app.rules.language.to_json)
    words         the same in words (app.labels.words)
    r2, mass_explained, precision, recall  as app.rule_search.figures has them, at threshold 0
    is_explained  whether r2 is large enough for the words to be called a label
    """

    __tablename__ = "labels"
    __table_args__ = (
        Index("ix_labels_words", text(WORDS_VECTOR), postgresql_using="gin"),
        Index("ix_labels_r2", "source_id", "r2", "index"),
        Index("ix_labels_best", text("(-r2)"), "source_id", "index"),
        {"postgresql_partition_by": "LIST (scan_id)"},
    )

    scan_id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    rule: Mapped[str]
    words: Mapped[str]
    r2: Mapped[float] = mapped_column(REAL)
    mass_explained: Mapped[float | None] = mapped_column(REAL)
    precision: Mapped[float | None] = mapped_column(REAL)
    recall: Mapped[float | None] = mapped_column(REAL)
    is_explained: Mapped[bool]
