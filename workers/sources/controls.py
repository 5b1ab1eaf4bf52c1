"""Control models: what the same architecture shows without having learnt anything.

Every tensor of weights is drawn anew from a normal distribution with that tensor's own mean and
standard deviation, so that activations keep about their scale while all structure is gone. Each
tensor's draw hangs on the seed and its name alone: every worker makes the same model.

Reference: Heap, Lawson, Farnik, Aitchison, "Sparse autoencoders can interpret randomly initialized
transformers" (2025), whose "re-randomized" control this is, embeddings included.
"""

from hashlib import blake2b
from typing import Literal

import torch
from torch import nn

Control = Literal["random-weights"]
SEED = 0


def redraw_weights(model: nn.Module, seed: int = SEED) -> None:
    """Draws all parameters anew, in place. Tied ones stay tied."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            key = blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(key) >> 1)
            old = parameter.detach().float().cpu()
            std, mean = torch.std_mean(old, correction=0)
            new = torch.randn(old.shape, generator=generator) * std + mean
            parameter.copy_(new.to(parameter))


def control_hash(weights_hash: str, control: Control, seed: int = SEED) -> str:
    """What the control's weights are known by."""
    return blake2b(f"{weights_hash}:{control}:{seed}".encode(), digest_size=16).hexdigest()
