"""Unit sources: what turns the activations at one hook point into units."""

from typing import Any, Protocol

from jaxtyping import Float
from torch import Tensor

from workers.sources.language_models import LoadedModel


class UnitSource(Protocol):
    """All units read at one place of one model by one dictionary."""

    slug: str
    kind: str
    hook_point: str
    hook_point_out: str
    layer: int
    n_units: int
    weights_hash: str
    details: dict[str, Any]

    def read(self, x: Float[Tensor, "batch pos d"]) -> Float[Tensor, "batch pos units"]:
        """The units' activations, given those at `hook_point`."""

    def output_directions(self) -> Float[Tensor, "units d_model"]:
        """What one unit of activation adds to the residual stream; float32 on the CPU."""


def parse_layers(text: str, n_layers: int) -> list[int]:
    """Layers named by `all`, `none` or `0,3-5`, ascending."""
    raise NotImplementedError


def neuron_source(model: LoadedModel, layer: int) -> UnitSource:
    """The MLP neurons of one layer, slug `mlp-{layer}`."""
    raise NotImplementedError


def sae_source(spec: str, model: LoadedModel, slug: str | None = None) -> UnitSource:
    """An SAE or a transcoder: a directory that SAELens writes, or `saelens:RELEASE:ID`."""
    raise NotImplementedError
