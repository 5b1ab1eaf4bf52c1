"""Strategies: windows of activations with ties, zeros, gaps and duplicates."""

from itertools import pairwise

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tests.naive_scan import Window

# Few distinct values, so that ties are the rule; and any float32 of a sane size.
tied = st.sampled_from([0.0, 0.5, -0.25, 1.0, -1.0, 3.0])
anything = st.floats(-1e4, 1e4, width=32).filter(lambda x: x == 0 or abs(x) > 1e-6)
values = st.one_of(tied, anything)


@st.composite
def scans(draw: st.DrawFn, max_windows: int = 12) -> list[Window]:
    """Windows of one scan, of different lengths, some with uncounted tokens."""
    n_units = draw(st.integers(1, 3))
    elements = draw(st.sampled_from([tied, values]))
    windows = []
    for index in range(draw(st.integers(1, max_windows))):
        n_tokens = draw(st.integers(1, 6))
        x = draw(npst.arrays(np.float32, (n_tokens, n_units), elements=elements))
        is_counted = draw(npst.arrays(np.bool_, n_tokens, elements=st.booleans()))
        windows.append(Window(index, x, is_counted, is_duplicate=draw(st.booleans())))
    return windows


@st.composite
def batchings(draw: st.DrawFn, windows: list[Window]) -> list[list[Window]]:
    """The windows in any order, cut anywhere."""
    shuffled = draw(st.permutations(windows))
    cuts = sorted(draw(st.sets(st.integers(1, max(len(windows) - 1, 1)))))
    bounds = [0, *cuts, len(shuffled)]
    parts = [shuffled[a:b] for a, b in pairwise(bounds)]
    return [part for part in parts if part]


def tensors(batch: list[Window]) -> tuple[torch.Tensor, ...]:
    """(x, windows, is_counted, is_duplicate) of a batch, padded on the right with junk."""
    n_pos = max(len(window.x) for window in batch)
    x = np.full((len(batch), n_pos, batch[0].x.shape[1]), np.nan, dtype=np.float32)
    is_counted = np.zeros((len(batch), n_pos), dtype=bool)
    for i, window in enumerate(batch):
        x[i, : len(window.x)] = window.x
        is_counted[i, : len(window.x)] = window.is_counted
    return (
        torch.from_numpy(x),
        torch.tensor([window.index for window in batch], dtype=torch.int32),
        torch.from_numpy(is_counted),
        torch.tensor([window.is_duplicate for window in batch]),
    )
