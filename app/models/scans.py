"""Scans and what they leave: a row of statistics and packed examples for every unit."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION, JSONB, REAL
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Scan(Base):
    """One pass of one model over one corpus, for one set of sources: a job, as pages call it.

    status      queued | running | complete | failed | cancelled; an unfinished one keeps its shards
    n_tokens    counted positions to scan; n_tokens_done of them when it was complete
    request     what a worker needs to load the model and the sources (workers.ledger writes it)
    atlas_windows  int32, ascending: the sampled windows; scans of one corpus with equal ones hold
                atlases that can be compared position by position
    """

    __tablename__ = "scans"

    id: Mapped[int] = mapped_column(primary_key=True)
    language_model_id: Mapped[int] = mapped_column(
        ForeignKey("language_models.id", ondelete="CASCADE")
    )
    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpora.id", ondelete="CASCADE"))
    status: Mapped[str]
    priority: Mapped[int] = mapped_column(server_default="0")
    settings_hash: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)  # top_k, seed, atlas_tokens, dtype…
    n_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    n_tokens_done: Mapped[int] = mapped_column(BigInteger)
    request: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    atlas_windows: Mapped[bytes | None] = mapped_column(LargeBinary)
    error: Mapped[str | None]
    software_version: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ScanSource(Base):
    """A source of a scan. `is_current` marks the newest complete one of (source, corpus): pages
    and REST read only current ones."""

    __tablename__ = "scan_sources"
    __table_args__ = (
        Index(
            "ix_scan_sources_current",
            "source_id",
            "corpus_id",
            unique=True,
            postgresql_where="is_current",
        ),
    )

    scan_id: Mapped[int] = mapped_column(
        ForeignKey("scans.id", ondelete="CASCADE"), primary_key=True
    )
    source_id: Mapped[int] = mapped_column(
        ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True
    )
    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpora.id", ondelete="CASCADE"))
    is_current: Mapped[bool]
    n_alive: Mapped[int]  # units active at least once in the corpus
    n_atlas_positions: Mapped[int]  # positions that histograms and intervals were drawn from
    density_histogram: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    # units per decade-quarter of density: bin i covers [10**(-8 + i/4), 10**(-8 + (i+1)/4));
    # 32 bins, the last closed; dead units are in none


class CompletedIndex(Base):
    """A request to index that was carried out in full, remembered by the hash of all that went in.

    Lets a repeated request be answered without loading the model. It holds only while the model
    and the corpus are there and at least `n_sources` sources are current on them.
    """

    __tablename__ = "completed_indexes"

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    language_model_id: Mapped[int] = mapped_column(
        ForeignKey("language_models.id", ondelete="CASCADE")
    )
    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpora.id", ondelete="CASCADE"))
    n_sources: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class UnitStats(Base):
    """What one unit did over one corpus. Exact over the corpus, but for what says atlas.

    histogram_edges/counts  atlas: 0 is always an edge; positions of exactly 0 are in n_zero
                            (relative to n_atlas_positions) and in no bin
    interval_*  atlas: bands in ascending order, together covering every atlas position once;
                [low, high) but for the last, which is closed; counts of positions and mass
                (sum of |activation|) in each. interval_*_errors: standard errors of each band's
                share of positions and of mass as estimates for the corpus, by documents; empty
                where the atlas has one document, or all of the corpus (then there is none)
    token_*     atlas: the tokens with most of the unit's positive activation, descending:
                their sum, count of active positions, and count of positions
    """

    __tablename__ = "unit_stats"
    __table_args__ = (
        Index("ix_unit_stats_density", "source_id", "density", "index"),
        Index("ix_unit_stats_max", "source_id", "max", "index"),
        Index("ix_unit_stats_mean", "source_id", "mean", "index"),
        Index("ix_unit_stats_std", "source_id", "std", "index"),
        Index("ix_unit_stats_tokens", "token_ids", postgresql_using="gin"),
        {"postgresql_partition_by": "LIST (scan_id)"},
    )

    scan_id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    n_tokens: Mapped[int] = mapped_column(BigInteger)
    n_active: Mapped[int] = mapped_column(BigInteger)
    density: Mapped[float] = mapped_column(DOUBLE_PRECISION)
    max: Mapped[float] = mapped_column(REAL)
    min: Mapped[float] = mapped_column(REAL)
    mean: Mapped[float] = mapped_column(DOUBLE_PRECISION)
    std: Mapped[float] = mapped_column(DOUBLE_PRECISION)
    skewness: Mapped[float | None] = mapped_column(DOUBLE_PRECISION)
    kurtosis: Mapped[float | None] = mapped_column(DOUBLE_PRECISION)  # excess
    n_zero: Mapped[int]
    histogram_edges: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    histogram_counts: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    interval_edges: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    interval_counts: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    interval_mass: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    interval_share_errors: Mapped[list[float]] = mapped_column(ARRAY(REAL), server_default="{}")
    interval_mass_errors: Mapped[list[float]] = mapped_column(ARRAY(REAL), server_default="{}")
    token_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    token_sums: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    token_n_active: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    token_n: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    atlas_sum: Mapped[float] = mapped_column(DOUBLE_PRECISION)  # of positive activations


class Examples(Base):
    """All examples of one kind of one unit, packed in one row, best first.

    kind        `top`, `bottom`, `interval`, `random` or `active` (a uniform sample of all
                windows where a rare latent is active, kept where the atlas has few of them)
    windows     window indices; every array has one entry an example
    positions   the position that the example is about: of the maximum (top, random, active), of
                the minimum (bottom), or the sampled one (interval)
    max_positions  where the greatest counted activation (`highs`) is
    lows, highs exact least and greatest activation of the window's counted positions: the
                `codec.Scale` of its levels
    intervals   index of the interval of the sampled position; empty for top and bottom
    values      exact activation at `positions`
    levels      zlib of the examples' levels one after another, one byte for each token of the
                window (uncounted positions hold the level of zero)
    """

    __tablename__ = "examples"
    __table_args__ = {"postgresql_partition_by": "LIST (scan_id)"}

    scan_id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    windows: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    positions: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    values: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    max_positions: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    lows: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    highs: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    intervals: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    levels: Mapped[bytes] = mapped_column(LargeBinary)
