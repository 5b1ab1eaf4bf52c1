"""Read and replace a GPT-2 model's activations at TransformerLens hook points.

The plain Hugging Face modules run under hooks of our own: that keeps fused attention, which
`TransformerBridge` gives up; its values differ by rounding. `mlp.hook_in`, the MLP's input
after the norm's gain and bias, is the name that holds in the bridge: its `ln2.hook_normalized`
comes before them. BOS positions are left out of everything: their activations are the same in
every window, and huge.
"""

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

from demo.config import END_OF_TEXT_ID

_HOOK_NAME = re.compile(r"blocks\.(\d+)\.(hook_resid_post|hook_mlp_out|mlp\.hook_in)")

WINDOWS_PER_FORWARD = 64

Edit = Callable[[Float[Tensor, "batch pos d_model"]], Float[Tensor, "batch pos d_model"]]


def _site(model: GPT2LMHeadModel, hook_name: str) -> tuple[nn.Module, bool]:
    """The module of a hook point, and whether the hook point is the module's input."""
    match = _HOOK_NAME.fullmatch(hook_name)
    if match is None:
        raise ValueError(f"hook point {hook_name!r} is not one that the demo's dictionaries use")
    block = model.transformer.h[int(match[1])]
    module = block if match[2] == "hook_resid_post" else block.mlp
    return module, match[2] == "mlp.hook_in"


def layer_of(hook_name: str) -> int:
    """The block that a hook point belongs to."""
    return int(hook_name.split(".")[1])


@contextmanager
def edited(model: GPT2LMHeadModel, hook_name: str, edit: Edit) -> Iterator[None]:
    """Run `edit` on the activations at `hook_name`, BOS included, and use what it returns."""
    module, is_input = _site(model, hook_name)
    if is_input:
        handle = module.register_forward_pre_hook(lambda _, inputs: (edit(inputs[0]),))
    else:
        handle = module.register_forward_hook(lambda _, __, output: edit(output))
    try:
        yield
    finally:
        handle.remove()


def up_to_layer(model: GPT2LMHeadModel, layer: int) -> GPT2LMHeadModel:
    """The model cut off after block `layer`, so that reading there costs no more than it must."""
    cut = copy.deepcopy(model)
    cut.transformer.h = cut.transformer.h[: layer + 1]
    return cut


@torch.no_grad()
def read(
    model: GPT2LMHeadModel, rows: Int[Tensor, "batch pos"], hook_names: list[str]
) -> dict[str, Float[Tensor, "samples d_model"]]:
    """Activations at each hook point at every non-BOS position of the windows `rows`.

    A position is left out if it holds `<|endoftext|>`, at the start of a window or inside it.
    """
    seen: dict[str, Tensor] = {}

    def keep(hook_name: str) -> Edit:
        def edit(activations: Tensor) -> Tensor:
            seen[hook_name] = activations[rows != END_OF_TEXT_ID]
            return activations

        return edit

    with _all_edited(model, {name: keep(name) for name in hook_names}):
        model.transformer(rows, use_cache=False)
    return seen


@contextmanager
def _all_edited(model: GPT2LMHeadModel, edits: dict[str, Edit]) -> Iterator[Any]:
    if not edits:
        yield
        return
    (name, edit), *rest = edits.items()
    with edited(model, name, edit), _all_edited(model, dict(rest)):
        yield
