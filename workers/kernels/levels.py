"""Activations to 8-bit levels, many scales at once: `app.codec.encode` in PyTorch, and compiled.

Exactly the levels of `app.codec.encode`, and the tests hold both to that: steps are computed in
float64, rounded to float32, and divided by in float32.
"""

from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
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


@numba.njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def encode_runs(
    values: Float32[np.ndarray, " n"],
    ends: Int64[np.ndarray, " runs"],
    lows: Float32[np.ndarray, " runs"],
    highs: Float32[np.ndarray, " runs"],
    levels: UInt8[np.ndarray, " n"],
    zeros: UInt8[np.ndarray, " runs"],
) -> None:
    """Writes the levels of runs of values that end at `ends`, and the level of 0 in each run.

    Run i has the scale [lows[i], highs[i]]; its values lie inside.
    """
    top, first = 255, 0
    for run in range(ends.size):
        below, above = max(-np.float64(lows[run]), 0.0), max(np.float64(highs[run]), 0.0)
        zero = 0 if below == 0 else top
        if below > 0 and above > 0:
            zero = min(max(int(np.rint(top * below / (below + above))), 1), top - 1)
        up, down = np.float32(above / max(top - zero, 1)), np.float32(below / max(zero, 1))
        one, most, least = np.float32(1), np.float32(top - zero), np.float32(zero)
        for i in range(first, ends[run]):
            v, level = values[i], zero
            if v > 0:
                level = zero + int(min(np.floor(v / up) + one, most))
            elif v < 0:
                level = zero - int(min(np.floor(-v / down) + one, least))
            levels[i] = level
        zeros[run], first = zero, ends[run]
