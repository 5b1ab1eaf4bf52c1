"""Uniform samples without a random number generator's state: every draw is a hash.

Which windows are in the atlas depends on the seed and the corpus alone, so every source, every
shard and every later scan of the corpus draws the same. SplitMix64 (Steele, Lea, Flood 2014) is
the hash: a bijection of 64-bit integers whose output passes the usual tests of randomness.
"""

import numpy as np
from jaxtyping import Int, Int64, UInt64
from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_TOP_BIT = 1 << 63


def mix(x: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """SplitMix64's output function of each number."""
    z = x + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = z ^ (z >> np.uint64(31))
    return mixed


def draw_keys(numbers: Int[np.ndarray, " n"], seed: int) -> UInt64[np.ndarray, " n"]:
    """A key for each number; ordering by key is a uniform shuffle that `seed` picks."""
    salt = mix(np.array([seed % 2**64], dtype=np.uint64))
    return mix(np.asarray(numbers).astype(np.uint64) ^ salt)


def draw_order(numbers: Int[Tensor, "*shape"], seed: int) -> Int64[Tensor, "*shape"]:
    """`draw_keys` on any device, as signed integers in the same order."""
    z = numbers.long() ^ _signed(int(mix(np.array([seed % 2**64], dtype=np.uint64))[0]))
    z = z + _signed(int(_GOLDEN))  # wraps around, as products do
    z = (z ^ _shift(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift(z, 27)) * _signed(0x94D049BB133111EB)
    return (z ^ _shift(z, 31)) ^ -_TOP_BIT


def _signed(x: int) -> int:
    return x - 2 * _TOP_BIT if x >= _TOP_BIT else x


def _shift(z: Int64[Tensor, "*shape"], n: int) -> Int64[Tensor, "*shape"]:
    """Shifts right, with zeros from the left."""
    return (z >> n) & ((1 << (64 - n)) - 1)


def sample_windows(
    n_counted: Int[np.ndarray, " windows"], n_positions: int, seed: int
) -> Int[np.ndarray, " sampled"]:
    """Windows of a uniform sample with at least `n_positions` counted positions, ascending.

    All windows that count anything where the corpus has no more than that. Windows are taken in
    the order of their keys until there are enough.
    """
    order = np.argsort(draw_keys(np.arange(len(n_counted)), seed), kind="stable")
    order = order[np.asarray(n_counted)[order] > 0]
    so_far = np.cumsum(np.asarray(n_counted, dtype=np.int64)[order])
    n_windows = int(np.searchsorted(so_far, n_positions)) + 1
    return np.sort(order[:n_windows])
