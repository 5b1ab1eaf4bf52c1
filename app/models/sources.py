"""Sources: all units read at one place of one model by one dictionary."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, ForeignKey, Index, Integer, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Source(Base):
    """One layer's MLP neurons, one SAE's latents, one transcoder's latents."""

    __tablename__ = "sources"
    __table_args__ = (UniqueConstraint("language_model_id", "slug"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    language_model_id: Mapped[int] = mapped_column(
        ForeignKey("language_models.id", ondelete="CASCADE")
    )
    slug: Mapped[str]
    kind: Mapped[str]  # neuron | sae_latent | transcoder_latent
    hook_point: Mapped[str]  # where the units are read, a TransformerLens name
    hook_point_out: Mapped[str]  # where they write (the logit lens starts there)
    layer: Mapped[int]
    n_units: Mapped[int]
    weights_hash: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)  # SAE architecture, release, path…
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Unit(Base):
    """What is true of a unit without any text: the logit lens of its output direction."""

    __tablename__ = "units"
    __table_args__ = (Index("ix_units_promoted", "promoted_ids", postgresql_using="gin"),)

    source_id: Mapped[int] = mapped_column(
        ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True
    )
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    promoted_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    promoted_values: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    suppressed_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    suppressed_values: Mapped[list[float]] = mapped_column(ARRAY(REAL))
