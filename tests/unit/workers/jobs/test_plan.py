"""Every window of a corpus is in exactly one shard."""

import numpy as np
import pytest

from workers.jobs.plan import MOST_SHARDS, PlannedShard, plan_shards


def windows_of(shard: PlannedShard, sampled: set[int]) -> list[int]:
    inside = range(shard.first_window, shard.last_window)
    return [w for w in inside if (w in sampled) == (shard.kind == "atlas")]


@pytest.mark.parametrize("least", [1, 7, 100, 10_000])
@pytest.mark.parametrize("n_sampled", [0, 1, 13, 60])
def test_each_window_is_scanned_once(least: int, n_sampled: int) -> None:
    random = np.random.default_rng(least + n_sampled)
    n_counted = random.integers(0, 20, 60).astype(np.int32)
    sampled = np.sort(random.permutation(60)[:n_sampled])
    shards = plan_shards(n_counted, sampled, least)
    scanned = [s for s in shards if s.kind in ("atlas", "windows")]
    found = [w for shard in scanned for w in windows_of(shard, set(sampled.tolist()))]
    assert sorted(found) == list(range(60))
    for shard in scanned:
        own = windows_of(shard, set(sampled.tolist()))
        assert shard.n_windows == len(own)
        assert shard.n_tokens == n_counted[own].sum()


def test_ranges_are_about_equal_and_not_too_many() -> None:
    n_counted = np.full(100_000, 127, dtype=np.int32)
    shards = [s for s in plan_shards(n_counted, np.arange(500)) if s.kind == "windows"]
    sizes = np.array([shard.n_tokens for shard in shards])
    assert len(shards) == MOST_SHARDS
    assert sizes.max() - sizes.min() <= 2 * 127


def test_a_corpus_within_the_sample_is_one_shard_of_windows() -> None:
    shards = plan_shards(np.full(9, 5, dtype=np.int32), np.arange(9))
    assert [shard.kind for shard in shards] == ["atlas", "units", "finish"]
