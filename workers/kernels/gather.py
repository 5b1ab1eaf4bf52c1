"""Activations of the atlas's windows, from window by window to unit by unit, on the CPU.

What indexing and transposing give, without their copies. Cost: 1.3 ns an activation.
"""

from typing import Any, no_type_check

import numba
import numpy as np
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_LINE = 16  # float32 numbers in a cache line


def gather_by_unit(
    x: Float[Tensor, "batch pos units"],
    is_counted: Bool[Tensor, "batch pos"],
    rows: Int64[Tensor, " taken"],
    out: Float[np.ndarray, "units n"],
) -> None:
    """Counted activations of the windows in `rows`, unit by unit, into `out`.

    What `x[rows][is_counted[rows]].T` gives, without its two copies.
    """
    _gather_units(x.contiguous().numpy(), is_counted.contiguous().numpy(), rows.numpy(), out)


def _jit() -> Any:
    return numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit()
@no_type_check
def _gather_units(x: Any, is_counted: Any, rows: Any, out: Any) -> None:
    """Sixteen units at a time: a cache line of `x` is read whole, and one of each row written."""
    counted = np.empty(x.shape[1], np.int64)
    at = 0
    for w in rows:
        n_rows = _counted_rows(is_counted[w], counted)
        for start in range(0, out.shape[0], _LINE):
            end = min(start + _LINE, out.shape[0])
            for j in range(n_rows):
                row = x[w, counted[j]]
                for unit in range(start, end):
                    out[unit, at + j] = row[unit]
        at += n_rows


@_jit()
@no_type_check
def _counted_rows(is_counted: Any, rows: Any) -> int:
    n = 0
    for position in range(is_counted.size):
        if is_counted[position]:
            rows[n] = position
            n += 1
    return n
