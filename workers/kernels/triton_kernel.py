"""The Triton kernel of `triton_stats`; importing this needs Triton."""

from typing import Any, no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def window_stats(
    x_ptr: Any,
    counted_ptr: Any,
    sums_ptr: Any,
    high_ptr: Any,
    low_ptr: Any,
    active_ptr: Any,
    bad_ptr: Any,
    n_pos: Any,
    n_units: Any,
    window_stride: Any,
    pos_stride: Any,
    unit_stride: Any,
    power_stride: Any,
    BLOCK_UNITS: tl.constexpr,
    BLOCK_POSITIONS: tl.constexpr,
) -> None:
    """One window, `BLOCK_UNITS` units; offsets are 64 bits wide, since batches are large."""
    block, window = tl.program_id(0), tl.program_id(1).to(tl.int64)
    units = block * BLOCK_UNITS + tl.arange(0, BLOCK_UNITS)
    is_unit = units < n_units
    s1 = tl.zeros((BLOCK_UNITS,), tl.float32)
    s2 = tl.zeros((BLOCK_UNITS,), tl.float32)
    s3 = tl.zeros((BLOCK_UNITS,), tl.float32)
    s4 = tl.zeros((BLOCK_UNITS,), tl.float32)
    active = tl.zeros((BLOCK_UNITS,), tl.int32)
    high = tl.full((BLOCK_UNITS,), float("-inf"), tl.float32)
    low = tl.full((BLOCK_UNITS,), float("inf"), tl.float32)
    bad = tl.zeros((BLOCK_UNITS,), tl.int32)
    for first in range(0, n_pos, BLOCK_POSITIONS):
        positions = first + tl.arange(0, BLOCK_POSITIONS)
        is_pos = positions < n_pos
        is_counted = tl.load(counted_ptr + window * n_pos + positions, mask=is_pos, other=0) != 0
        at = positions[:, None].to(tl.int64) * pos_stride + units[None, :] * unit_stride
        wanted = is_counted[:, None] & is_unit[None, :]
        v = tl.load(x_ptr + window * window_stride + at, mask=wanted, other=0.0).to(tl.float32)
        is_bad = (v != v) | (tl.abs(v) == float("inf"))
        bad += tl.sum(is_bad.to(tl.int32), axis=0)
        v = tl.where(is_bad, 0.0, v)
        v2 = v * v
        s1 += tl.sum(v, axis=0)
        s2 += tl.sum(v2, axis=0)
        s3 += tl.sum(v2 * v, axis=0)
        s4 += tl.sum(v2 * v2, axis=0)
        active += tl.sum((v > 0).to(tl.int32), axis=0)
        high = tl.maximum(high, tl.max(tl.where(wanted, v, float("-inf")), axis=0))
        low = tl.minimum(low, tl.min(tl.where(wanted, v, float("inf")), axis=0))
    out = window * n_units + units
    tl.store(sums_ptr + out, s1, mask=is_unit)
    tl.store(sums_ptr + power_stride + out, s2, mask=is_unit)
    tl.store(sums_ptr + 2 * power_stride + out, s3, mask=is_unit)
    tl.store(sums_ptr + 3 * power_stride + out, s4, mask=is_unit)
    tl.store(high_ptr + out, high, mask=is_unit)
    tl.store(low_ptr + out, low, mask=is_unit)
    tl.store(active_ptr + out, active, mask=is_unit)
    tl.store(bad_ptr + window * tl.num_programs(0) + block, tl.sum(bad, axis=0))
