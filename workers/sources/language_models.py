"""Language models: plain Hugging Face modules under TransformerLens's names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class HookPlace:
    """Where a hook point lies in the plain model: a module's input or its output.

    `convert` turns what is found there into what the hook point holds (None: the same tensor).
    """

    module: nn.Module
    side: Literal["input", "output"]
    convert: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True, slots=True)
class Unembedding:
    """What lies between the residual stream and the logits.

    `is_centred`: the final norm subtracts the mean first (LayerNorm).
    """

    norm_weight: Float[Tensor, " d_model"] | None
    is_centred: bool
    W_U: Float[Tensor, "d_model d_vocab"]


@dataclass(slots=True)
class LoadedModel:
    """A causal language model ready to be scanned."""

    hf_model: Any
    tokenizer: Any
    name: str
    revision: str | None
    weights_hash: str
    tokenizer_hash: str
    architecture: str
    n_layers: int
    d_model: int
    d_mlp: int | None
    d_vocab: int
    n_ctx: int | None
    n_params: int
    bos_token_id: int | None
    prepends_bos: bool
    details: dict[str, Any]
    device: torch.device
    dtype: torch.dtype

    def has_bos(self, choice: Literal["auto", "yes", "no"]) -> bool:
        """Whether windows get a BOS put in; InvalidInput for `yes` where there is none."""
        raise NotImplementedError

    def hook(self, hook_point: str) -> HookPlace:
        """The place of `hook_point`; InvalidInput where the plain model has no such place."""
        raise NotImplementedError

    def width(self, hook_point: str) -> int:
        """Width of the activations at `hook_point`."""
        raise NotImplementedError

    def run_to(
        self,
        token_ids: Int[Tensor, "batch pos"],
        attention_mask: Int[Tensor, "batch pos"] | None,
        hook_points: Sequence[str],
    ) -> dict[str, Float[Tensor, "batch pos d"]]:
        """Activations at `hook_points`, by one forward that stops after the last of them."""
        raise NotImplementedError

    def mlp_hook(self, layer: int) -> str:
        """The hook point of a layer's MLP neurons."""
        return f"blocks.{layer}.mlp.hook_post"

    def mlp_width(self, layer: int) -> int:
        """Neurons of a layer's MLP."""
        raise NotImplementedError

    def neuron_directions(self, layer: int) -> Float[Tensor, "units d_model"]:
        """What one unit of each neuron's activation adds to the residual stream."""
        raise NotImplementedError

    def unembedding(self) -> Unembedding:
        """The final norm and the unembedding, float32 on the CPU."""
        raise NotImplementedError


def load_model(
    name_or_path: str,
    *,
    revision: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    trust_remote_code: bool = False,
) -> LoadedModel:
    """Loads a hub id or a local directory in Hugging Face format; safetensors only."""
    raise NotImplementedError
