"""Moments, extremes and gathering on cases that a reader can work out."""

import numpy as np
import torch

from workers.kernels import extremes, fused, gather, moments, sampling
from workers.sinks.scans import density_histogram


def batch(*windows: list[float]) -> torch.Tensor:
    """One unit; all windows of one length."""
    return torch.tensor(windows, dtype=torch.float32)[:, :, None]


def scanned(
    x: torch.Tensor,
    *,
    k: int = 3,
    sign: extremes.Sign = 1,
    is_counted: torch.Tensor | None = None,
    is_duplicate: list[bool] | None = None,
) -> extremes.Extremes:
    n_windows, n_pos, n_units = x.shape
    state = extremes.empty(n_units, k, n_pos, sign)
    extremes.update(
        state,
        x,
        torch.arange(n_windows, dtype=torch.int32),
        torch.ones((n_windows, n_pos), dtype=torch.bool) if is_counted is None else is_counted,
        torch.tensor(is_duplicate or [False] * n_windows),
    )
    return extremes.ordered(state)


def test_one_example_a_window_strongest_first() -> None:
    found = scanned(batch([1, 5, 4], [6, 6, 0], [2, 2, 3], [0, 1, 0]))
    assert found.windows.tolist() == [[1, 0, 2]]
    assert found.values.tolist() == [[6, 5, 3]]
    assert found.positions.tolist() == [[0, 1, 2]]


def test_duplicates_are_never_examples() -> None:
    found = scanned(batch([1, 2], [1, 2], [3, 0]), is_duplicate=[False, True, False])
    assert found.windows[0, :2].tolist() == [2, 0]
    assert found.windows[0, 2] == extremes.NO_WINDOW


def test_windows_where_a_latent_does_nothing_are_no_top_examples() -> None:
    assert (scanned(batch([0, 0], [0, 1])).windows != extremes.NO_WINDOW).sum() == 1


def test_a_unit_that_is_never_positive_still_has_its_strongest_windows() -> None:
    assert scanned(batch([-3, -2], [-1, -4])).values[0, :2].tolist() == [-1, -2]


def test_bottom_lists_hold_windows_that_go_below_zero_only() -> None:
    found = scanned(batch([0, 5], [-1, 9], [-3, 2]), sign=-1)
    assert found.windows[0, :2].tolist() == [2, 1]
    assert found.max_positions[0, :2].tolist() == [1, 1]
    assert (found.windows != extremes.NO_WINDOW).sum() == 2


def test_uncounted_positions_are_never_examples_and_hold_the_level_of_zero() -> None:
    is_counted = torch.tensor([[False, True, True]])
    found = scanned(batch([100, 2, -2]), is_counted=is_counted)
    assert found.values[0, 0] == 2
    assert found.levels[0, 0].tolist() == [128, 255, 0]


def test_density_ignores_what_is_not_counted() -> None:
    found = moments.empty(1)
    is_counted = torch.tensor([[False, True, True, True]])
    moments.update(found, batch([9, 1, 0, -1]), is_counted)
    assert found.n_tokens == 3
    assert moments.summarize(found).density.tolist() == [1 / 3]


def test_summary_equals_its_definitions() -> None:
    x = torch.randn((5, 40, 3), generator=torch.Generator().manual_seed(0)) ** 3
    found = moments.empty(3)
    moments.update(found, x, torch.ones((5, 40), dtype=torch.bool))
    summary, flat = moments.summarize(found), x.reshape(-1, 3).double().numpy()
    centred = (flat - flat.mean(0)) / flat.std(0)
    assert np.allclose(summary.mean, flat.mean(0))
    assert np.allclose(summary.std, flat.std(0))
    assert np.allclose(summary.skewness, (centred**3).mean(0))
    assert np.allclose(summary.kurtosis, (centred**4).mean(0) - 3)


def test_a_constant_unit_has_no_spread_and_no_skewness() -> None:
    found = moments.empty(2)
    moments.update(found, torch.tensor([[[0.1, 0.0]] * 50]), torch.ones((1, 50), dtype=torch.bool))
    summary = moments.summarize(found)
    assert summary.std.tolist() == [0, 0]
    assert summary.skewness.isnan().all()
    assert summary.kurtosis.isnan().all()


def test_more_units_than_a_tile_and_an_odd_number_of_positions() -> None:
    n_units = fused.BLOCK + 37
    x = torch.randn((3, 7, n_units), generator=torch.Generator().manual_seed(1))
    is_counted = torch.ones((3, 7), dtype=torch.bool)
    is_counted[:, 0] = False
    given = (torch.arange(3, dtype=torch.int32), is_counted, torch.zeros(3, dtype=torch.bool))
    ours, plain = moments.empty(n_units), moments.empty(n_units)
    tops = [extremes.empty(n_units, 2, 7, 1) for _ in range(2)]
    bottom = extremes.empty(n_units, 2, 7, -1)
    assert fused.update(ours, tops[0], bottom, x, *given) == -1
    moments.update(plain, x, is_counted)
    extremes.update(tops[1], x, *given)
    assert torch.equal(ours.n_active, plain.n_active)
    assert torch.equal(ours.max, plain.max)
    assert torch.allclose(ours.sums, plain.sums, rtol=1e-5, atol=1e-5)
    a, b = map(extremes.ordered, tops)
    for name in ("values", "windows", "positions", "lows", "highs", "levels"):
        assert torch.equal(getattr(a, name), getattr(b, name))


def test_gathering_by_unit_equals_indexing() -> None:
    x = torch.randn((4, 5, 21), generator=torch.Generator().manual_seed(2))
    is_counted = torch.rand((4, 5), generator=torch.Generator().manual_seed(3)) > 0.4
    rows = torch.tensor([0, 2, 3])
    wanted = x[rows][is_counted[rows]].T.numpy()
    out = np.empty(wanted.shape, dtype=np.float32)
    gather.gather_by_unit(x, is_counted, rows, out)
    assert np.array_equal(out, wanted)


def test_the_sample_of_windows_is_uniform() -> None:
    """400 samples of about a fifth: each window is in a fifth of them, within 5 deviations."""
    n_counted = np.full(200, 10)
    hits = np.zeros(200)
    for seed in range(400):
        hits[sampling.sample_windows(n_counted, 400, seed)] += 1
    assert hits.sum() == 400 * 40
    assert np.abs(hits - 80).max() < 5 * np.sqrt(400 * 0.2 * 0.8)


def test_the_sample_of_active_windows_is_uniform() -> None:
    """A unit active in 40 of 80 windows, 5 drawn by each of 400 seeds: each of them 50 times."""
    x = torch.zeros((80, 1, 1))
    x[::2] = torch.arange(1.0, 41.0)[:, None, None]
    given = (torch.arange(80, dtype=torch.int32), torch.ones((80, 1), dtype=torch.bool))
    hits = np.zeros(80)
    for seed in range(400):
        state = extremes.empty(1, 5, 1, 1, seed=seed)
        extremes.update(state, x, *given, torch.zeros(80, dtype=torch.bool))
        hits[state.windows[0].numpy()] += 1
    assert (hits[1::2] == 0).all()
    assert hits.sum() == 400 * 5
    assert np.abs(hits[::2] - 50).max() < 5 * np.sqrt(400 * 0.125 * 0.875)


def test_densities_fall_into_quarter_decades() -> None:
    counts = density_histogram(np.array([0, 1, 10, 10**8, 10**8]), 10**8)
    assert (counts[0], counts[4], counts[31]) == (1, 1, 2)
    assert sum(counts) == 4
