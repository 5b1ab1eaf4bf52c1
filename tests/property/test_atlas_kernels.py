"""Histograms and intervals cover every position once; draws come from where they say."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from app.codec import Scale, encode
from tests.property.activations import anything, tied, values
from workers.kernels import atlas, draws, sampling
from workers.kernels.levels import encode_rows, encode_runs

subnormal = st.integers(-60, 60).map(lambda i: i * 2.0**-149)
rows = st.one_of(
    *(npst.arrays(np.float32, st.integers(1, 300), elements=e) for e in (tied, anything)),
    npst.arrays(np.float32, st.integers(1, 40), elements=subnormal),
)


def bins_of(edges: np.ndarray, value: np.float32) -> list[int]:
    """Every bin that holds the value, by the definition: half-open, the last closed."""
    last = len(edges) - 2
    return [
        i
        for i in range(last + 1)
        if edges[i] <= value < edges[i + 1] or (i == last and value == edges[-1])
    ]


@given(rows)
def test_intervals_cover_every_position_once(x):
    found = atlas.intervals(np.sort(x))
    counts, mass = [0] * len(found.counts), [0.0] * len(found.counts)
    for value in x:
        (band,) = bins_of(found.edges, value)
        counts[band] += 1
        mass[band] += abs(float(value))
    assert found.counts.tolist() == counts
    assert np.allclose(found.mass, mass, rtol=1e-6)
    assert all(count > 0 for count in counts)


@given(rows)
def test_no_interval_mixes_active_and_inactive_positions(x):
    found = atlas.intervals(np.sort(x))
    for value in x:
        (band,) = bins_of(found.edges, value)
        inside = [v for v in x if bins_of(found.edges, v) == [band]]
        assert len({bool(v > 0) for v in inside}) == 1


@given(npst.arrays(np.float32, st.integers(1, 400), elements=anything, unique=True))
def test_interval_edges_are_the_quantiles_of_the_active_positions(x):
    active = np.sort(x[x > 0])
    found = atlas.intervals(np.sort(x))
    wanted = [active[0]] if len(active) else []
    for quantile in atlas.QUANTILES if len(active) else ():
        edge = active[int(quantile * len(active))]
        if wanted[-1] < edge < active[-1]:
            wanted.append(edge)
    assert found.edges[:-1][found.edges[:-1] > 0].tolist() == wanted


@given(rows)
def test_histogram_counts_every_position_once_and_zeros_apart(x):
    found = atlas.histogram(np.sort(x))
    counts = [0] * len(found.counts)
    for value in x[x != 0]:
        # A position in the last negative bin must not be taken for one of the first positive.
        (place,) = bins_of(found.edges, value)
        counts[place] += 1
    assert found.n_zero == int((x == 0).sum())
    assert found.counts.tolist() == counts
    assert 0.0 in found.edges
    assert len(found.counts) <= atlas.N_BINS


@given(
    npst.arrays(np.float32, (3, 8), elements=st.one_of(tied, anything)),
    npst.arrays(np.bool_, (3, 8)),
)
def test_levels_equal_the_codec(x, is_counted):
    is_counted[:, 0] = True
    lows = np.where(is_counted, x, np.inf).min(axis=1)
    highs = np.where(is_counted, x, -np.inf).max(axis=1)
    found = encode_rows(*map(torch.from_numpy, (x, is_counted, lows, highs))).numpy()
    for i in range(3):
        scale = Scale(float(lows[i]), float(highs[i]))
        expected = np.where(is_counted[i], encode(x[i], scale), scale.zero)
        assert found[i].tolist() == expected.tolist()


@given(st.lists(npst.arrays(np.float32, st.integers(1, 8), elements=values), max_size=4))
def test_levels_of_runs_equal_the_codec(runs):
    flat = np.concatenate([np.zeros(0, np.float32), *runs])
    lows = np.array([run.min() for run in runs], np.float32)
    highs = np.array([run.max() for run in runs], np.float32)
    levels, zeros = np.empty(len(flat), np.uint8), np.empty(len(runs), np.uint8)
    encode_runs(flat, np.cumsum([len(run) for run in runs], dtype=int), lows, highs, levels, zeros)
    scales = [Scale(float(low), float(high)) for low, high in zip(lows, highs, strict=True)]
    assert zeros.tolist() == [scale.zero for scale in scales]
    coded = [encode(run, scale).tolist() for run, scale in zip(runs, scales, strict=True)]
    assert levels.tolist() == [level for run in coded for level in run]


@given(
    x=npst.arrays(np.float32, st.integers(1, 60), elements=tied),
    token_seed=st.integers(0, 5),
    k=st.integers(1, 4),
)
def test_strongest_tokens_equal_a_sum_by_token(x, token_seed, k):
    n_slots = 5
    tokens = np.random.default_rng(token_seed).integers(n_slots, size=len(x)).astype(np.int32)
    slots, n_active, sums = np.zeros(k, np.int32), np.zeros(k, np.int32), np.zeros(k)
    n = atlas.strongest_tokens(x, tokens, n_slots, slots, sums, n_active)
    same = [np.zeros_like(given) for given in (slots, sums, n_active)]
    is_active = x != 0  # zeros may be left out
    assert atlas.strongest_tokens(x[is_active], tokens[is_active], n_slots, *same) == n
    assert all(map(np.array_equal, same, (slots, sums, n_active)))
    totals = {slot: float(x[(tokens == slot) & (x > 0)].sum()) for slot in range(n_slots)}
    best = sorted((s for s in totals if totals[s] > 0), key=lambda s: (-totals[s], s))[:k]
    assert slots[:n].tolist() == best
    assert sums[:n].tolist() == [totals[slot] for slot in best]
    assert n_active[:n].tolist() == [int(((tokens == s) & (x > 0)).sum()) for s in best]


@given(
    x=npst.arrays(np.float32, 48, elements=tied),
    start=st.integers(0, 47),
    is_eligible=npst.arrays(np.bool_, 8),
)
def test_draws_come_from_their_band_at_most_one_a_window(x, start, is_eligible):
    window_slots = np.repeat(np.arange(8, dtype=np.int32), 6)
    order = draws.shuffled(sampling.draw_keys(np.arange(48), 3), is_eligible[window_slots])
    bands = atlas.intervals(np.sort(x))
    drawn = np.empty((len(bands.counts), 3), np.int32)
    start = start % max(len(order), 1)
    draws.draw_from_bands(x, bands.edges, order, start, window_slots, drawn)
    for band, positions in enumerate(drawn):
        chosen = [int(p) for p in positions if p >= 0]
        windows = [int(window_slots[p]) for p in chosen]
        assert all(bins_of(bands.edges, x[p]) == [band] for p in chosen)
        assert len(set(windows)) == len(windows)
        holding = {int(window_slots[p]) for p in order if bins_of(bands.edges, x[p]) == [band]}
        assert len(chosen) == min(3, len(holding))
        assert set(windows) <= holding


@given(
    x=npst.arrays(np.float32, 96, elements=st.one_of(st.just(0.0), st.just(0.0), tied)),
    start=st.integers(0, 95),
    n_first=st.integers(1, 20),
    is_eligible=npst.arrays(np.bool_, 16),
)
def test_draws_are_the_same_where_only_what_is_not_zero_is_looked_at(
    x, start, n_first, is_eligible
):
    window_slots = np.repeat(np.arange(16, dtype=np.int32), 6)
    order = draws.shuffled(sampling.draw_keys(np.arange(96), 3), is_eligible[window_slots])
    if len(order) == 0:
        return
    turns = np.full(96, -1, np.int32)
    turns[order] = np.arange(len(order))
    edges = atlas.intervals(np.sort(x)).edges
    given_both = (edges, order, turns, start % len(order), window_slots, 3)
    active = np.flatnonzero(x).astype(np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "N_FIRST", n_first)
        found = draws.draw(x, active, *given_both)
    assert found.tolist() == draws.draw(x, None, *given_both).tolist()


@given(
    n_counted=npst.arrays(np.int32, st.integers(1, 60), elements=st.integers(0, 9)),
    n_positions=st.integers(1, 200),
    seed=st.integers(0, 2**63 - 1),
)
def test_sampled_windows_hold_enough_positions_and_not_a_window_more(n_counted, n_positions, seed):
    sampled = sampling.sample_windows(n_counted, n_positions, seed)
    assert len(set(sampled.tolist())) == len(sampled)
    assert (n_counted[sampled] > 0).all()
    total = int(n_counted[sampled].sum())
    if total < n_positions:
        assert total == int(n_counted.sum())
    else:
        assert total - int(n_counted[sampled].max()) < n_positions


@given(x=npst.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 30)), elements=tied))
def test_sorting_around_zeros_is_sorting(x: np.ndarray) -> None:
    active = atlas.find_active(x)
    assert atlas.sort_active(active, x.shape[1]).tolist() == np.sort(x, axis=1).tolist()
