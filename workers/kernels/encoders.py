"""What dictionaries do to their pre-activations, in place and in one read, compiled for the CPU.

Each takes `h`, the product of input and encoder matrix, and does to it what SAELens does, operation
by operation and in its order, so that the results are its own bit for bit: first the bias is added,
then what is not active becomes 0. A NaN stays one.

Cost: 0.2 ns a latent; `top_k` 2 ns, a quarter of torch.topk.
"""

from typing import Any, no_type_check

import numba
import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor

_LINE = 16


def relu(h: Float[Tensor, "rows units"], bias: Float[Tensor, " units"]) -> None:
    """max(h + bias, 0)."""
    _relu(h.numpy(), bias.numpy())


def jump_relu(
    h: Float[Tensor, "rows units"],
    bias: Float[Tensor, " units"],
    threshold: Float[Tensor, " units"],
) -> None:
    """h + bias where it is above both 0 and the threshold, else 0 (Rajamanoharan et al. 2024)."""
    _jump_relu(h.numpy(), bias.numpy(), threshold.numpy())


def gated(
    h: Float[Tensor, "rows units"],
    bias: Float[Tensor, " units"],
    gate: Float[Tensor, "rows units"],
    gate_bias: Float[Tensor, " units"],
) -> None:
    """max(h + bias, 0) where gate + gate_bias is positive, else 0 (Rajamanoharan et al. 2024)."""
    _gated(h.numpy(), bias.numpy(), gate.numpy(), gate_bias.numpy())


def top_k(
    h: Float[Tensor, "rows units"],
    bias: Float[Tensor, " units"],
    scale: Float[Tensor, " units"],
    k: int,
) -> Int64[np.ndarray, " undecided"]:
    """The k greatest of (h + bias) · scale in each row, where they are positive, else 0.

    The rows returned are left at (h + bias) · scale: the k-th is tied, and which one goes is up to
    the caller; or there is a NaN.
    """
    undecided = np.zeros(len(h), np.bool_)
    _top_k(h.numpy(), bias.numpy(), scale.numpy(), k, undecided)
    return np.flatnonzero(undecided)


def _jit(**options: Any) -> Any:
    return numba.njit(nogil=True, cache=True, error_model="numpy", **options)


@_jit()
@no_type_check
def _relu(h: Any, bias: Any) -> None:
    none = np.float32(0)
    for i in range(h.shape[0]):
        row = h[i]
        for u in range(row.size):
            v = row[u] + bias[u]
            row[u] = none if v <= none else v


@_jit()
@no_type_check
def _jump_relu(h: Any, bias: Any, threshold: Any) -> None:
    none, one = np.float32(0), np.float32(1)
    for i in range(h.shape[0]):
        row = h[i]
        for u in range(row.size):
            v = row[u] + bias[u]
            base = none if v <= none else v
            row[u] = base * (one if v > threshold[u] else none)


@_jit()
@no_type_check
def _gated(h: Any, bias: Any, gate: Any, gate_bias: Any) -> None:
    none, one = np.float32(0), np.float32(1)
    for i in range(h.shape[0]):
        row, gates = h[i], gate[i]
        for u in range(row.size):
            v = row[u] + bias[u]
            magnitude = none if v <= none else v
            row[u] = (one if gates[u] + gate_bias[u] > none else none) * magnitude


@_jit()
@no_type_check
def _top_k(h: Any, bias: Any, scale: Any, k: int, undecided: Any) -> None:
    heap, none = np.empty(k, np.float32), np.float32(0)
    maxima = np.empty(-(-h.shape[1] // _LINE), np.float32)
    for i in range(h.shape[0]):
        row = h[i]
        undecided[i] = not _add_and_scale(row, bias, scale)
        if undecided[i]:
            continue
        least = _kth(row, maxima, heap)
        undecided[i] = least > none and _count_from(row, least) > k
        if not undecided[i]:
            for u in range(row.size):
                v = row[u]
                row[u] = v if v >= least and v > none else none


@_jit()
@no_type_check
def _kth(row: Any, maxima: Any, heap: Any) -> Any:
    """The k-th greatest number, 0 where fewer are positive; k is the size of `heap`.

    The k-th of the lines' maxima is a bound that few but the k greatest reach.
    """
    for line in range(maxima.size):
        maxima[line] = _greatest(row[line * _LINE : (line + 1) * _LINE])
    heap[:] = np.float32(0)
    for most in maxima:
        if most > heap[0]:
            _replace_least(heap, most)
    bound = heap[0]
    heap[:] = np.float32(0)
    for line in range(maxima.size):
        if maxima[line] >= bound and maxima[line] > heap[0]:
            for v in row[line * _LINE : (line + 1) * _LINE]:
                if v >= bound and v > heap[0]:
                    _replace_least(heap, v)
    return heap[0]


@_jit()
@no_type_check
def _add_and_scale(row: Any, bias: Any, scale: Any) -> bool:
    """Whether there is no NaN and no infinity."""
    n_bad = np.int32(0)
    for u in range(row.size):
        v = (row[u] + bias[u]) * scale[u]
        row[u] = v
        n_bad += np.int32(0) if v - v == 0 else np.int32(1)
    return n_bad == 0


@_jit(fastmath={"nnan", "nsz"})
@no_type_check
def _greatest(line: Any) -> Any:
    most = line[0]
    for u in range(line.size):
        most = line[u] if line[u] > most else most
    return most


@_jit()
@no_type_check
def _count_from(row: Any, least: Any) -> int:
    n = np.int32(0)
    for u in range(row.size):
        n += np.int32(1) if row[u] >= least else np.int32(0)
    return n


@_jit()
@no_type_check
def _replace_least(heap: Any, v: Any) -> None:
    """Puts `v` in the place of the least of a heap, which is its first."""
    at, n = 0, heap.size
    while True:
        child = 2 * at + 1
        if child >= n:
            break
        if child + 1 < n and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= v:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = v
