"""Correlations and cosines against plain NumPy, and the order of what is nearest."""

import numpy as np
import pytest

from app import codec
from app.atlas.neighbours import by_activation, by_direction, correlations, cosines, nearest
from app.atlas.opened import OpenAtlas, OpenDirections
from tests.naive_atlas import make_atlas


def test_every_level_is_decoded_as_the_codec_does() -> None:
    lows = np.array([-3.7, 0, 0.25, -9, -1e-20, 0], np.float32)
    highs = np.array([1.3, 2.5, 7, -2, 5, 0], np.float32)
    n = codec.N_LEVELS
    units = np.tile(np.arange(6, dtype=np.uint16), n)
    levels = np.repeat(np.arange(n), 6).astype(np.uint8)
    starts = np.arange(n + 1, dtype=np.int64) * 6
    atlas = OpenAtlas("levels", starts, units, levels, lows, highs, lows)
    for i in range(6):
        values = codec.level_values(codec.Scale(float(lows[i]), float(highs[i]))).astype(float)
        assert atlas.moments.means[i] == pytest.approx(values.mean(), rel=1e-12)
        assert atlas.moments.stds[i] == pytest.approx(values.std(), rel=1e-9, abs=1e-30)


def test_a_unit_without_variance_has_no_correlation_and_none_correlates_with_it() -> None:
    values = np.array([[0.7, 0.1, 0.0], [0.7, 0.2, 0.0], [0.7, 0.3, 0.0]], np.float32)
    atlas, _ = make_atlas("constant", values, np.ones_like(values, bool))
    assert [*np.isnan(correlations(atlas, 1, [atlas])[0])] == [True, False, True]
    assert np.isnan(correlations(atlas, 0, [atlas])[0]).all()
    assert by_activation(atlas, 0, [atlas], 0).n_units == 0
    assert by_activation(atlas, 1, [atlas], 0).n_units == 0  # itself is left out


def test_an_atlas_without_positions_compares_nothing() -> None:
    none = np.zeros(0, np.uint8)
    scale = np.zeros(2, np.float32)
    atlas = OpenAtlas("empty", np.zeros(1, np.int64), none.astype("u2"), none, scale, scale, scale)
    assert np.isnan(correlations(atlas, 1, [atlas])[0]).all()


def test_cosines_are_numpys() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(n, 16)).astype(np.float16) for n in (7, 5000))
    second[3] = 0
    own, other = OpenDirections("first", first), OpenDirections("second", second)
    a, b = first.astype(float), second.astype(float)
    with np.errstate(invalid="ignore"):
        wanted = b @ a[2] / np.linalg.norm(b, axis=1) / np.linalg.norm(a[2])
    found = cosines(own, 2, other)
    assert found == pytest.approx(wanted, abs=1e-6, nan_ok=True)
    assert np.isnan(found[3])
    assert by_direction(own, 2, [own, other], 0).n_units == 6 + 4999


def test_the_nearest_are_in_order_and_ties_go_by_source_then_index() -> None:
    values = [np.array([0.5, np.nan, 1.0]), np.array([1.0, 0.5, 0.5])]
    found = nearest(values, 0, 2)
    assert found.n_units == 4
    places = [*zip(found.sources.tolist(), found.indices.tolist(), strict=True)]
    assert places == [(1, 0), (0, 0), (1, 1), (1, 2)]
    assert found.values.tolist() == [1.0, 0.5, 0.5, 0.5]


def test_more_ties_than_are_kept_are_cut_at_the_last_index() -> None:
    found = nearest([np.full(800, 0.25)], 0, 5)
    assert found.indices.tolist() == [*range(5), *range(6, 501)]
    assert found.n_units == 799
