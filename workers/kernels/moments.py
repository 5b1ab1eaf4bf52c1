"""Counts and power sums of activations, exact over everything that was added.

Mergeable: moments of A ∪ B are `merge(moments of A, moments of B)`. Counts are integers; sums are
float64 over windows, float32 within one window's few hundred positions. This module is the plain
PyTorch twin (any device) of the compiled CPU kernel in `fused`; the tests hold one to the other.

Cost: that of `window_stats`, which reads the batch.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from workers.kernels import window_stats
from workers.kernels.window_stats import N_POWERS, WindowStats

BYTES_A_UNIT = 8 + 8 * N_POWERS + 4 + 4


@dataclass(slots=True)
class Moments:
    """Of each unit: active positions (activation > 0), Σx to Σx⁴, greatest and least activation.

    `n_tokens` counted positions, the same for all units. Before anything is added `max` is -inf
    and `min` is inf.
    """

    n_tokens: int
    n_active: Int64[Tensor, " units"]
    sums: Float[Tensor, "powers units"]
    max: Float[Tensor, " units"]
    min: Float[Tensor, " units"]


@dataclass(frozen=True, slots=True)
class Summary:
    """What the moments say; `skewness` and `kurtosis` (excess) are NaN where std is 0."""

    density: Float[Tensor, " units"]
    mean: Float[Tensor, " units"]
    std: Float[Tensor, " units"]
    skewness: Float[Tensor, " units"]
    kurtosis: Float[Tensor, " units"]


def empty(n_units: int, device: torch.device | str = "cpu") -> Moments:
    """Moments of no position."""
    return Moments(
        n_tokens=0,
        n_active=torch.zeros(n_units, dtype=torch.int64, device=device),
        sums=torch.zeros((N_POWERS, n_units), dtype=torch.float64, device=device),
        max=torch.full((n_units,), -torch.inf, device=device),
        min=torch.full((n_units,), torch.inf, device=device),
    )


def update(
    moments: Moments,
    x: Float[Tensor, "batch pos units"],
    is_counted: Bool[Tensor, "batch pos"],
) -> None:
    """Adds a batch of windows; every counted activation must be finite."""
    add(moments, window_stats.read(x, is_counted, int(is_counted.sum())))


def add(moments: Moments, stats: WindowStats) -> None:
    """Adds what was read of windows without a NaN or infinity; the device is not waited for."""
    moments.n_tokens += stats.n_counted
    moments.n_active += stats.n_active.sum(dim=0)
    moments.sums += stats.sums.sum(dim=1, dtype=torch.float64)
    torch.maximum(moments.max, stats.highs.amax(dim=0), out=moments.max)
    torch.minimum(moments.min, stats.lows.amin(dim=0), out=moments.min)


def view(moments: Moments, units: slice) -> Moments:
    """Moments of some units, in the same memory; its count of tokens begins at 0."""
    sums, n_active = moments.sums[:, units], moments.n_active[units]
    return Moments(0, n_active, sums, moments.max[units], moments.min[units])


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of the union of two disjoint sets of windows."""
    return Moments(
        n_tokens=a.n_tokens + b.n_tokens,
        n_active=a.n_active + b.n_active,
        sums=a.sums + b.sums,
        max=torch.maximum(a.max, b.max),
        min=torch.minimum(a.min, b.min),
    )


def summarize(moments: Moments) -> Summary:
    """Density, mean, standard deviation (population), skewness and excess kurtosis."""
    n = max(moments.n_tokens, 1)
    mean, m2, m3, m4 = (moments.sums / n).unbind(0)
    variance = _round_off_to_zero(m2 - mean**2, m2)
    std = variance.sqrt()
    third = m3 - 3 * mean * m2 + 2 * mean**3
    fourth = m4 - 4 * mean * m3 + 6 * mean**2 * m2 - 3 * mean**4
    return Summary(
        density=moments.n_active.double() / n,
        mean=mean,
        std=std,
        skewness=_ratio(third, std**3),
        kurtosis=_ratio(fourth, variance**2) - 3,
    )


def _round_off_to_zero(
    variance: Float[Tensor, " units"], second: Float[Tensor, " units"]
) -> Float[Tensor, " units"]:
    """A constant unit has variance 0; what the subtraction leaves of it is rounding.

    Within a window sums are float32, so what is below 2⁻²² of the second moment is noise.
    """
    return torch.where(variance <= second * 2.0**-22, 0.0, variance)


def _ratio(
    above: Float[Tensor, " units"], below: Float[Tensor, " units"]
) -> Float[Tensor, " units"]:
    return torch.where(below > 0, above / torch.where(below > 0, below, 1.0), torch.nan)
