"""How a scan is cut into shards. A pure function of the corpus's sizes and the atlas's sample.

The sampled windows are one shard: what comes from the atlas needs all of them together. The others
are cut by range into shards of about equal size: small enough that a worker that is killed loses
seconds, and so many at most that their bookkeeping stays small.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Int, Int32

Kind = Literal["units", "atlas", "windows", "finish"]

LEAST_SHARD_TOKENS = 65_536
MOST_SHARDS = 64


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """Windows first to last (exclusive); `n_windows` and `n_tokens` of them are its own."""

    kind: Kind
    first_window: int = 0
    last_window: int = 0
    n_windows: int = 0
    n_tokens: int = 0


def plan_shards(
    n_counted: Int32[np.ndarray, " windows"],
    sampled: Int[np.ndarray, " sampled"],
    least_tokens: int = LEAST_SHARD_TOKENS,
) -> list[PlannedShard]:
    """The atlas, the rest by ranges, the units, and the finish: each window in exactly one."""
    is_sampled = np.zeros(len(n_counted), dtype=bool)
    is_sampled[sampled] = True
    atlas = PlannedShard(
        "atlas", 0, len(n_counted), len(sampled), int(n_counted[is_sampled].sum(dtype=np.int64))
    )
    rest = _ranges(np.where(is_sampled, 0, n_counted), ~is_sampled, least_tokens)
    return [atlas, PlannedShard("units"), *rest, PlannedShard("finish")]


def _ranges(
    n_tokens: Int[np.ndarray, " windows"], is_ours: np.ndarray, least_tokens: int
) -> list[PlannedShard]:
    """Ranges of windows with about the same number of tokens; none without a window of ours."""
    so_far = np.cumsum(n_tokens, dtype=np.int64)
    total = int(so_far[-1]) if len(so_far) else 0
    n_shards = min(max(round(total / least_tokens), 1), MOST_SHARDS)
    cuts = np.searchsorted(so_far, np.arange(1, n_shards) * total / n_shards, "left") + 1
    bounds = np.unique(np.concatenate([[0], cuts, [len(n_tokens)]])).tolist()
    shards = []
    for first, last in pairwise(bounds):
        n_windows = int(is_ours[first:last].sum())
        if n_windows:
            n_here = int(n_tokens[first:last].sum(dtype=np.int64))
            shards.append(PlannedShard("windows", first, last, n_windows, n_here))
    return shards
