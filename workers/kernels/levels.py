"""Activations to 8-bit levels, one scale a row: the PyTorch twin of `app.codec.encode`.

Exactly the levels of `app.codec.encode`, and the tests hold it to that: steps are computed in
float64, rounded to float32, and divided by in float32.
"""

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from app.codec import N_LEVELS

_TOP = N_LEVELS - 1


def zero_levels(
    lows: Float[Tensor, " rows"], highs: Float[Tensor, " rows"]
) -> Float[Tensor, " rows"]:
    """The level of exactly 0 on each row's scale, in float64 (`app.codec.Scale.zero`)."""
    below, above = (-lows.double()).clamp(min=0), highs.double().clamp(min=0)
    inside = (_TOP * below / (below + above)).round().clamp(1, _TOP - 1)
    last = torch.full_like(inside, _TOP)
    return torch.where(below == 0, torch.zeros_like(inside), torch.where(above == 0, last, inside))


def encode_rows(
    values: Float[Tensor, "rows pos"],
    is_counted: Bool[Tensor, "rows pos"],
    lows: Float[Tensor, " rows"],
    highs: Float[Tensor, " rows"],
) -> UInt8[Tensor, "rows pos"]:
    """Levels of each row on its own scale [low, high]; uncounted positions get the zero level."""
    zero = zero_levels(lows, highs)
    levels = zero[:, None].expand(values.shape).clone()
    for sign, edge, room in ((1, highs, _TOP - zero), (-1, -lows, zero)):
        step = (edge.double().clamp(min=0) / room.clamp(min=1)).float()
        magnitude = sign * values
        offsets = torch.minimum((magnitude / step[:, None]).floor().double() + 1, room[:, None])
        levels += torch.where((magnitude > 0) & is_counted, sign * offsets, 0)
    return levels.to(torch.uint8)
