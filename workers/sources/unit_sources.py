"""Unit sources: what turns the activations at one hook point into units."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from jaxtyping import Float
from torch import Tensor

from app.errors import InvalidInput
from workers.sources.language_models import LoadedModel
from workers.sources.saes import SaeSource, sae_source

__all__ = [
    "NeuronSource",
    "SaeSource",
    "UnitSource",
    "neuron_source",
    "parse_layers",
    "sae_source",
]

_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


class UnitSource(Protocol):
    """All units read at one place of one model by one dictionary.

    `hook_point` is where `read` wants its input from, `hook_point_out` where the units write.
    `is_signed`: a unit's activation may be negative. `is_sparse`: most activations are exactly 0.
    `is_elementwise`: `read_blocks` reads some units without the others.
    """

    @property
    def slug(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def hook_point(self) -> str: ...
    @property
    def hook_point_out(self) -> str: ...
    @property
    def layer(self) -> int: ...
    @property
    def n_units(self) -> int: ...
    @property
    def is_signed(self) -> bool: ...
    @property
    def is_sparse(self) -> bool: ...
    @property
    def is_elementwise(self) -> bool: ...
    @property
    def weights_hash(self) -> str: ...
    @property
    def details(self) -> dict[str, Any]: ...

    def read(self, x: Float[Tensor, "batch pos d"]) -> Float[Tensor, "batch pos units"]:
        """The units' activations, given those at `hook_point`."""

    def read_blocks(
        self, x: Float[Tensor, "batch pos d"], most_units: int
    ) -> Iterator[tuple[int, Float[Tensor, "batch pos units"]]]:
        """What `read` gives, in blocks of consecutive units, each with its first unit's index.

        Blocks hold at most `most_units` where the source is elementwise; else it comes whole.
        """

    def output_directions(self) -> Float[Tensor, "units d_model"]:
        """What one unit of activation adds to the residual stream; float32 on the CPU."""


@dataclass(frozen=True, slots=True)
class NeuronSource:
    """The MLP neurons of one layer: what they are is what the model computes there."""

    slug: str
    hook_point: str
    hook_point_out: str
    layer: int
    n_units: int
    weights_hash: str
    details: dict[str, Any]
    model: LoadedModel
    kind: str = "neuron"
    is_signed: bool = True
    is_sparse: bool = False
    is_elementwise: bool = False

    def read(self, x: Float[Tensor, "batch pos units"]) -> Float[Tensor, "batch pos units"]:
        """`x` itself."""
        return x

    def read_blocks(
        self, x: Float[Tensor, "batch pos units"], most_units: int
    ) -> Iterator[tuple[int, Float[Tensor, "batch pos units"]]]:
        """`x` itself, whole: it is there already."""
        yield 0, x

    def output_directions(self) -> Float[Tensor, "units d_model"]:
        """Rows of the MLP's output matrix; float32 on the CPU."""
        return self.model.neuron_directions(self.layer)


def neuron_source(model: LoadedModel, layer: int) -> NeuronSource:
    """The MLP neurons of one layer, slug `mlp-{layer}`.

    Raises InvalidInput where the layer's MLP has no neurons of its own, as in mixtures of experts.
    """
    try:
        n_units = model.mlp_width(layer)
    except InvalidInput as error:
        raise InvalidInput(
            f"{model.name} has no MLP neurons to read in layer {layer}: {error} "
            "Choose other layers, or --neurons none."
        ) from error
    return NeuronSource(
        slug=f"mlp-{layer}",
        hook_point=model.mlp_hook(layer),
        hook_point_out=f"blocks.{layer}.hook_mlp_out",
        layer=layer,
        n_units=n_units,
        weights_hash=model.weights_hash,
        details={"act_fn": model.details["act_fn"]},
        model=model,
    )


def parse_layers(text: str, n_layers: int) -> list[int]:
    """Layers named by `all`, `none` or `0,3-5`, ascending, each once.

    Raises InvalidInput for anything else and for layers that the model does not have.
    """
    if text == "all":
        return list(range(n_layers))
    if text == "none":
        return []
    layers: set[int] = set()
    for part in text.split(","):
        found = _RANGE.fullmatch(part.strip())
        if found is None or int(found[2] or found[1]) < int(found[1]):
            raise InvalidInput(
                f"--neurons {text!r}: {part!r} is no layer; wanted all, none or layers like 0,3-5."
            )
        low, high = int(found[1]), int(found[2] or found[1])
        if high >= n_layers:
            raise InvalidInput(
                f"--neurons {text!r}: there is no layer {high}; the model has {n_layers}, "
                f"0 to {n_layers - 1}."
            )
        layers.update(range(low, high + 1))
    return sorted(layers)
