"""`window_stats.read` as one Triton kernel: each activation is loaded once, in its own precision.

A program takes one window and `BLOCK_UNITS` units and walks over the positions, `BLOCK_POSITIONS`
at a time, with everything it adds up in registers, in float32. There are no atomics, so the same
input gives the same bits. Cost: reading `x`, and writing 7 numbers a (window, unit).

Triton comes with PyTorch's CUDA builds; `is_available` says whether it is there.
"""

import importlib.util
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workers.kernels.window_stats import N_POWERS, WindowStats

BLOCK_UNITS, BLOCK_POSITIONS = 128, 16


def is_available() -> bool:
    """Whether Triton can be imported."""
    return importlib.util.find_spec("triton") is not None


def read(
    x: Float[Tensor, "batch pos units"], is_counted: Bool[Tensor, "batch pos"], n_counted: int
) -> WindowStats:
    """As `window_stats.read`."""
    from workers.kernels.triton_kernel import window_stats

    n_windows, n_pos, n_units = x.shape
    shape, device = (n_windows, n_units), x.device
    sums = torch.empty((N_POWERS, *shape), device=device)
    highs, lows = torch.empty(shape, device=device), torch.empty(shape, device=device)
    n_active = torch.empty(shape, dtype=torch.int32, device=device)
    n_blocks = -(-n_units // BLOCK_UNITS)
    is_bad = torch.empty((n_windows, n_blocks), dtype=torch.int32, device=device)
    kernel: Any = window_stats
    kernel[(n_blocks, n_windows)](
        x,
        is_counted.contiguous().view(torch.uint8),
        sums,
        highs,
        lows,
        n_active,
        is_bad,
        n_pos,
        n_units,
        *x.stride(),
        n_windows * n_units,
        BLOCK_UNITS=BLOCK_UNITS,
        BLOCK_POSITIONS=BLOCK_POSITIONS,
    )
    return WindowStats(n_counted, n_active, sums, highs, lows, is_bad.any(dim=1))
