"""Several threads in one model: each has modules of its own, all share the weights.

Hooks belong to modules, so two forwards at once through the same modules would see each other's.
"""

import copy
from dataclasses import replace

from torch import nn

from workers.sources.language_models import LoadedModel


def replicate(model: LoadedModel) -> LoadedModel:
    """The model again, with modules of its own around the same parameters and buffers."""
    return replace(model, hf_model=_share_weights(model.hf_model))


def _share_weights(module: nn.Module) -> nn.Module:
    tensors = [*module.parameters(), *module.buffers()]
    # What deepcopy finds in the memo it takes for copied already.
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
