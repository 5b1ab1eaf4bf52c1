"""Geometry of plots: everything counted is drawn, inside the box, in order."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.plots import activation_plot, density_edge, density_plot, nice_values
from app.units.schemas import Histogram, Interval

densities = st.lists(st.integers(0, 10**6), min_size=32, max_size=32)


def histogram(edges: list[float], counts: list[int]) -> Histogram:
    return Histogram(edges=edges, counts=counts, n_zero=3, n_positions=3 + sum(counts))


@given(densities)
def test_each_filled_density_bin_has_one_bar_inside_the_box(counts: list[int]) -> None:
    plot = density_plot(counts)
    if not any(counts):
        assert plot is None
        return
    assert plot is not None
    assert len(plot.bars) == sum(1 for count in counts if count)
    for bar in plot.bars:
        assert bar.x >= 0 and bar.x + bar.width <= plot.width + 0.1
        assert 0 < bar.height <= plot.height
        assert bar.y + bar.height == pytest.approx(plot.height, abs=0.11)


def test_more_units_never_make_a_shorter_bar() -> None:
    counts = [0] * 32
    counts[10:16] = [1, 2, 10, 100, 1000, 10**6]
    plot = density_plot(counts)
    assert plot is not None
    heights = [bar.height for bar in plot.bars]
    assert heights == sorted(heights) and heights[-1] == plot.height


def test_density_bars_link_to_their_own_bin_and_show_what_is_selected() -> None:
    counts = [0] * 32
    counts[24] = counts[25] = 5
    plot = density_plot(counts, lambda low, high: f"?{low}:{high}", selected=(0.01, 0.0177828))
    assert plot is not None
    assert plot.bars[0].href == "?0.01:0.0177828"
    assert [bar.is_out for bar in plot.bars] == [False, True]


def test_density_edges_meet_whole_decades() -> None:
    assert [density_edge(i) for i in (0, 24, 28, 32)] == [1e-8, 0.01, 0.1, 1.0]


def test_activation_plot_tells_negative_bins_and_skips_empty_ones() -> None:
    plot = activation_plot(histogram([-0.5, 0.0, 1.0, 2.0], [7, 100, 0]), [])
    assert plot is not None
    assert [bar.is_negative for bar in plot.bars] == [True, False]


def test_intervals_are_drawn_side_by_side_under_the_axis() -> None:
    bands = [
        Interval(index=0, low=0.0, high=1.0, share_of_positions=0.9, share_of_mass=0.5),
        Interval(index=1, low=1.0, high=2.0, share_of_positions=0.1, share_of_mass=0.5),
    ]
    plot = activation_plot(histogram([0.0, 1.0, 2.0], [9, 1]), bands, width=100)
    assert plot is not None
    assert [(band.x, band.width) for band in plot.bands] == [(0.0, 50.0), (50.0, 50.0)]


@pytest.mark.parametrize(("edges", "counts"), [([], []), ([0.0, 1.0], [0]), ([0.0, 0.0], [5])])
def test_there_is_no_plot_of_nothing(edges: list[float], counts: list[int]) -> None:
    assert activation_plot(histogram(edges, counts), []) is None


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e6))
def test_nice_values_are_few_and_inside(low: float, span: float) -> None:
    high = low + span
    values = nice_values(low, high)
    assert len(values) <= 12
    assert all(low - span * 1e-6 <= v <= high + span * 1e-6 for v in values)
    assert values == sorted(values)


def test_nice_values_are_round() -> None:
    assert nice_values(0.0, 3.3) == [0.0, 1.0, 2.0, 3.0]
    assert nice_values(0.0, math.inf) == []
