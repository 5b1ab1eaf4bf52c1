"""Indexing under way: a scan's shards, the workers that carry them out, and what these flushed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, ForeignKey, LargeBinary, String, func
from sqlalchemy.dialects.postgresql import ARRAY, REAL
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base

SECONDS_ALIVE = 15
"""A worker that was not seen for so long is taken for dead, and its shard for free."""


class Shard(Base):
    """One piece of a scan's work, which one worker at a time carries out.

    kind        `units` (logit lens and directions of new sources), `atlas` (the sampled windows,
                and all that is taken from them), `windows` (those of first_window to last_window
                that are not sampled), `finish` (merge and store; begun when all others are done)
    n_windows_done, n_tokens_done  what is flushed: a worker that takes the shard up goes on there
    status      waiting | running | done
    worker_id   who has it, or had it last; a claim counts only while that worker is alive
    n_attempts  times it was begun since something of it was last flushed
    error       in words, what went wrong last
    """

    __tablename__ = "shards"

    scan_id: Mapped[int] = mapped_column(
        ForeignKey("scans.id", ondelete="CASCADE"), primary_key=True
    )
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    first_window: Mapped[int]
    last_window: Mapped[int]  # exclusive
    n_windows: Mapped[int]
    n_tokens: Mapped[int] = mapped_column(BigInteger)  # counted positions
    n_windows_done: Mapped[int]
    n_tokens_done: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str]
    worker_id: Mapped[UUID | None]
    n_attempts: Mapped[int]
    error: Mapped[str | None]
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Worker(Base):
    """A process that carries out shards, or measures. It is alive while `seen_at` is recent.

    queues          the only queues that it serves; NULL: all
    batch           that of the reports on loss which it has in hand (app.models.LossReport)
    n_tokens_done   counted positions of its shard that are not flushed yet
    tokens_per_second  over the last few seconds of scanning; None while it does anything else
    """

    __tablename__ = "workers"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]  # host and process id
    device: Mapped[str]
    queues: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    scan_id: Mapped[int | None]
    shard: Mapped[int | None]
    batch: Mapped[UUID | None]
    doing: Mapped[str]  # in words: `waiting`, `scanning`, `storing`…
    n_tokens_done: Mapped[int] = mapped_column(BigInteger)
    tokens_per_second: Mapped[float | None] = mapped_column(REAL)


class Partial(Base):
    """What one flush of a shard left of a block of one source's units, until the scan is finished.

    `part` is the shard's n_windows_done when the flush's windows began. `payload` is read and
    written by workers.sinks.partials alone.
    """

    __tablename__ = "partials"
    __table_args__ = {"postgresql_partition_by": "LIST (scan_id)"}

    scan_id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(primary_key=True)
    first_unit: Mapped[int] = mapped_column(primary_key=True)
    shard: Mapped[int] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
