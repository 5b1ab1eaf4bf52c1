"""How much of the held-out text is word for word in the training text.

A split by module leaves copied passages on both sides (licence headers, tests pasted from one file
to the next), and a loss measured on those says nothing about code the model has not seen.
"""

import numpy as np
from numpy.typing import NDArray

RUN_LENGTH = 32
_BASE = np.uint64(0x9E3779B97F4A7C15)
"""An odd multiplier with well mixed bits, so that the rolling hash spreads over 64 bits."""


def _run_hashes(tokens: NDArray[np.int64], length: int) -> NDArray[np.uint64]:
    """A 64-bit polynomial hash of every run of `length` tokens; arithmetic wraps on purpose."""
    n_runs = len(tokens) - length + 1
    hashes = np.zeros(n_runs, dtype=np.uint64)
    for offset in range(length):
        hashes *= _BASE
        hashes += tokens[offset : offset + n_runs].astype(np.uint64) + np.uint64(1)
    return hashes


def repeated_share(
    train: NDArray[np.int64], held_out: NDArray[np.int64], length: int = RUN_LENGTH
) -> float:
    """The share of held-out tokens inside a run of `length` tokens that training text contains."""
    known = np.isin(_run_hashes(held_out, length), np.unique(_run_hashes(train, length)))
    covered = np.zeros(len(held_out) + 1, dtype=np.int64)
    starts = np.flatnonzero(known)
    np.add.at(covered, starts, 1)
    np.add.at(covered, starts + length, -1)
    return float((covered.cumsum()[:-1] > 0).mean())
