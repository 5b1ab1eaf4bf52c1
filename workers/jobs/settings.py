"""What shapes a scan's results, and what a worker needs to carry it out. Stored with the scan."""

import json
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

from pydantic import BaseModel, ConfigDict

from workers.sources.controls import Control

FORMAT = 2
"""Goes into the settings; raise it when the same scan would leave other results."""


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """What shapes a scan's results, apart from model, corpus and sources."""

    top_k: int
    atlas_tokens: int
    seed: int
    dtype: str
    format: int = FORMAT

    @property
    def hash(self) -> str:
        """Equal for equal settings."""
        return blake2b(
            json.dumps(asdict(self), sort_keys=True).encode(), digest_size=16
        ).hexdigest()


class PlannedSource(BaseModel):
    """One source of a scan, in the order in which the sources were asked for.

    `spec` names the dictionary as `--sae` does; None for a layer's neurons.
    """

    model_config = ConfigDict(extra="forbid")

    id: int
    slug: str
    kind: str
    layer: int
    n_units: int
    weights_hash: str
    spec: str | None


class ScanRequest(BaseModel):
    """What a worker needs to load a scan's model and sources (`scans.request`).

    Hashes say whether what it loads is what was meant. Whether code from the model's repository
    may run is each worker's own decision; this only says that the model needs it.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    revision: str | None
    needs_remote_code: bool
    weights_hash: str
    tokenizer_hash: str
    context: int
    sources: list[PlannedSource]
    control: Control | None = None

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        return self.model_dump(mode="json")
