"""The level codec keeps zero, sign, order and extremes, and errs by half a step at most."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from app.codec import Scale, decode, encode, level_edges

finite = st.floats(min_value=-1e4, max_value=1e4, width=32, allow_subnormal=False).filter(
    lambda x: x == 0 or abs(x) > 1e-3
)
rows = npst.arrays(np.float32, st.integers(1, 200), elements=finite)


def scale_of(values: np.ndarray) -> Scale:
    return Scale(float(values.min()), float(values.max()))


@given(rows)
def test_zero_and_sign_survive(values):
    scale = scale_of(values)
    decoded = decode(encode(values, scale), scale)
    assert np.array_equal(np.sign(decoded), np.sign(values))


@given(rows)
def test_extremes_survive_exactly(values):
    scale = scale_of(values)
    decoded = decode(encode(values, scale), scale)
    assert decoded.max() == values.max() or values.max() < 0
    assert decoded.min() == values.min() or values.min() > 0


@given(rows)
def test_error_is_at_most_one_step(values):
    scale = scale_of(values)
    error = np.abs(decode(encode(values, scale), scale).astype(np.float64) - values)
    step = np.where(values > 0, scale.positive_step, scale.negative_step)
    assert np.all(error <= step * (1 + 1e-5))


@given(rows)
def test_levels_keep_the_order_of_values(values):
    levels = encode(np.sort(values), scale_of(values)).astype(int)
    assert np.all(np.diff(levels) >= 0)


@given(rows)
def test_every_value_lies_in_its_levels_band(values):
    scale = scale_of(values)
    edges, levels = level_edges(scale), encode(values, scale).astype(int)
    slack = 1e-5 * max(abs(scale.low), abs(scale.high), 1e-3)
    assert np.all(values >= edges[levels] - slack)
    assert np.all(values <= edges[levels + 1] + slack)


def test_a_constant_zero_row_decodes_to_zero():
    scale = Scale(0.0, 0.0)
    assert decode(encode(np.zeros(4, np.float32), scale), scale).tolist() == [0, 0, 0, 0]


def test_values_outside_the_scale_take_the_outermost_level_of_their_sign():
    scale = Scale(-1.0, 2.0)
    assert encode(np.array([-9, 9], np.float32), scale).tolist() == [0, 255]
