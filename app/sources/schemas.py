"""Sources as pages and REST show them."""

from typing import Any

from pydantic import BaseModel, Field

from app.units.schemas import UnitKind


class SourceScan(BaseModel):
    """The current scan of a source over one corpus."""

    corpus: str
    n_tokens: int
    n_alive: int
    n_atlas_positions: int
    density_histogram: list[int] = Field(
        description="Units per quarter decade of density: bin i covers "
        "[10^(-8 + i/4), 10^(-8 + (i+1)/4)); dead units are in none."
    )
    settings: dict[str, Any]
    software_version: str
    finished_at: str


class SourceDetail(BaseModel):
    """All units read at one place by one dictionary."""

    model: str
    source: str
    kind: UnitKind
    hook_point: str
    hook_point_out: str
    layer: int
    n_units: int
    weights_hash: str
    details: dict[str, Any]
    scans: list[SourceScan]
    page: str
