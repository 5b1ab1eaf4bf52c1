"""Hook points: TransformerLens's names for places in a model, found in the plain modules.

TransformerBridge names the places of a model, but running under it costs attention its fast path.
So its names are read once from a bridge around a model without weights (every parameter is one
stored zero, whatever its shape), as a table from name to module path; the plain model is then
hooked at those paths. Building the table takes some 50 ms and no memory to speak of.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from app.errors import InvalidInput

_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
_PLAIN_SIDES: dict[str, Literal["input", "output"]] = {"hook_in": "input", "hook_out": "output"}


@dataclass(frozen=True, slots=True)
class HookPoint:
    """A hook point's name, taken apart: `layer` is None outside the blocks."""

    name: str
    layer: int | None
    place: str

    @classmethod
    def parse(cls, name: str) -> "HookPoint":
        """`blocks.3.mlp.hook_post` is layer 3, place `mlp.hook_post`."""
        found = _BLOCK.fullmatch(name)
        if found is None:
            return cls(name, None, name)
        return cls(name, int(found[1]), found[2])

    @property
    def is_residual_width(self) -> bool:
        """Whether what is there adds to, or is, the residual stream."""
        return self.place.startswith("hook_resid_") or self.place in (
            "hook_mlp_out",
            "hook_attn_out",
            "hook_embed",
        )


@dataclass(frozen=True, slots=True)
class HookPlace:
    """Where a hook point lies in the plain model: a module's input or its output.

    `convert` turns what is found there into what the hook point holds (None: the same tensor).
    """

    module: nn.Module
    side: Literal["input", "output"]
    convert: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True, slots=True)
class Normalization:
    """What `hook_normalized` holds: the input over its scale, before gain and bias."""

    is_centred: bool
    eps: float

    def __call__(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        x = x.float()
        if self.is_centred:
            x = x - x.mean(-1, keepdim=True)
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    side: Literal["input", "output"]
    convert: Callable[[Tensor], Tensor] | None


@dataclass(frozen=True, slots=True)
class HookTable:
    """The hook points of one architecture that plain modules have, and the bridge's config."""

    entries: dict[str, _Entry]
    known: frozenset[str]
    cfg: Any

    def find(self, name: str, model: nn.Module) -> HookPlace:
        """The place of `name` in `model`; InvalidInput names the nearest that can be had."""
        entry = self.entries.get(name)
        if entry is None:
            raise InvalidInput(self._explain(name))
        return HookPlace(model.get_submodule(entry.path), entry.side, entry.convert)

    def _explain(self, name: str) -> str:
        layer, n_layers = HookPoint.parse(name).layer, self.cfg.n_layers
        if layer is not None and layer >= n_layers:
            return f"The model has no hook point {name}: its layers are 0 to {n_layers - 1}."
        nearest = ", ".join(get_close_matches(name, self.entries, n=3, cutoff=0.3)) or "none"
        why = (
            "is not the input or output of a module of its own in this model"
            if name in self.known
            else "does not exist in this model"
        )
        return f"The hook point {name} {why}. The nearest that can be read: {nearest}."


def build_hook_table(config: Any, *, trust_remote_code: bool) -> HookTable:
    """The table for a transformers configuration.

    Raises InvalidInput where TransformerLens does not know the architecture.
    """
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module
    from transformer_lens.model_bridge.sources.transformers import (
        determine_architecture_from_hf_config,
    )

    nameless = weightless_model(config, trust_remote_code=trust_remote_code)
    paths = {id(module): path for path, module in nameless.named_modules()}
    try:
        architecture = determine_architecture_from_hf_config(config)
        bridge = build_bridge_from_module(nameless, architecture, hf_config=config, device="cpu")
    except (ValueError, NotImplementedError, AttributeError, RuntimeError) as error:
        raise InvalidInput(
            f"TransformerLens cannot name the places of a {config.model_type} model: {error}"
        ) from error
    entries = {
        name: entry
        for name, hook in bridge.hook_dict.items()
        if (entry := _entry(hook.name, bridge, paths)) is not None
    }
    return HookTable(entries, frozenset(bridge.hook_dict), bridge.cfg)


def weightless_model(config: Any, *, trust_remote_code: bool) -> nn.Module:
    """The model of a configuration with every parameter and buffer one zero, expanded.

    Not on the meta device, where the bridge cannot split fused projections.
    """
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model: nn.Module = AutoModelForCausalLM.from_config(
            config, trust_remote_code=trust_remote_code
        )
    for module in model.modules():
        for key, value in module._parameters.items():
            if value is not None:
                zero = torch.zeros((), dtype=value.dtype).expand(value.shape)
                module._parameters[key] = nn.Parameter(zero, requires_grad=False)
        for key, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[key] = torch.zeros((), dtype=buffer.dtype).expand(buffer.shape)
    return model.eval()


def _entry(canonical: str, bridge: nn.Module, paths: dict[int, str]) -> _Entry | None:
    """What the table holds for a hook's canonical name; None where no plain module has it."""
    owner, _, hook = canonical.rpartition(".")
    component = _component(bridge, owner)
    if component is not None and hook == "hook_mlp_in":
        # Not at a module of its own: the entry to the MLP's branch, before its norm if it has one.
        inner = "mlp" if getattr(component, "mlp_reads_resid_directly", False) else "ln2"
        component, hook = _component(bridge, f"{owner}.{inner}"), "hook_in"
    if component is None or component.name is None:
        return None  # A container that the plain model lacks.
    path = paths.get(id(component.original_component))
    if path is None:
        return None  # Made by the bridge: a piece of a fused projection.
    if hook == "hook_normalized":
        eps = _epsilon(component.original_component, bridge)
        return _Entry(path, "input", Normalization(not component.uses_rms_norm, eps))
    side = _PLAIN_SIDES.get(hook)
    return _Entry(path, side, None) if side else None


def _component(bridge: nn.Module, path: str) -> Any:
    try:
        found = bridge.get_submodule(path)
    except AttributeError:
        return None
    return found if hasattr(found, "original_component") else None


def _epsilon(norm: nn.Module, bridge: Any) -> float:
    for name in ("eps", "variance_epsilon"):
        if isinstance(value := getattr(norm, name, None), float):
            return value
    return float(getattr(bridge.cfg, "eps", 1e-5))
