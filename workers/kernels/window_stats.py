"""What one read of a batch gives of every (window, unit): all that moments and lists need of it.

This module is the plain PyTorch twin of `triton_stats`, which reads each activation once on a GPU;
the tests hold one to the other. (On a CPU `fused` does all of it, without results in between.)
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int32
from torch import Tensor

N_POWERS = 4


@dataclass(frozen=True, slots=True)
class WindowStats:
    """Over the counted positions of each window.

    n_counted      positions
    n_active       of them with activation > 0
    sums           Σx to Σx⁴, float32
    highs, lows    greatest and least activation; -inf and inf in a window that counts none
    is_bad         windows with a NaN or an infinity; the rest of their figures is of no use
    """

    n_counted: int
    n_active: Int32[Tensor, "batch units"]
    sums: Float32[Tensor, "powers batch units"]
    highs: Float32[Tensor, "batch units"]
    lows: Float32[Tensor, "batch units"]
    is_bad: Bool[Tensor, " batch"]

    @property
    def first_bad(self) -> int:
        """The first window with a NaN or an infinity, or -1. Waits for the device."""
        bad = self.is_bad.nonzero()
        return int(bad[0, 0]) if len(bad) else -1


def read(
    x: Float[Tensor, "batch pos units"], is_counted: Bool[Tensor, "batch pos"], n_counted: int
) -> WindowStats:
    """`is_counted` is where `x` is; `n_counted` of it are True."""
    counted = is_counted[:, :, None]
    values = x.float()
    zeroed = values.masked_fill(~counted, 0)
    power, sums = torch.ones_like(zeroed), []
    for _ in range(N_POWERS):
        power = power * zeroed
        sums.append(power.sum(dim=1))
    return WindowStats(
        n_counted=n_counted,
        n_active=(zeroed > 0).sum(dim=1, dtype=torch.int32),
        sums=torch.stack(sums),
        highs=values.masked_fill(~counted, -torch.inf).amax(dim=1),
        lows=values.masked_fill(~counted, torch.inf).amin(dim=1),
        is_bad=~zeroed.isfinite().all(dim=2).all(dim=1),
    )
