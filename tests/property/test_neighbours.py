"""Correlations over an atlas are those of the densified matrices, whatever is in them."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from app import codec
from app.atlas.neighbours import correlations
from app.atlas.scales import scales
from tests.naive_atlas import make_atlas

finite = st.floats(-(2**60), 2**60, width=32)
tied = st.sampled_from([0.0, 0.0, 0.5, -0.25, 1.0, 3.0])


def numpy_correlations(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        both = np.corrcoef(np.column_stack([x, others]).astype(np.float64), rowvar=False)
    return np.atleast_2d(both)[0, 1:]


@given(npst.arrays(np.float32, (2, 6), elements=finite))
def test_scales_are_those_of_the_codec(extremes: np.ndarray) -> None:
    lows, highs = extremes.min(0), extremes.max(0)
    found = scales(lows, highs)
    for i in range(6):
        one = codec.Scale(float(lows[i]), float(highs[i]))
        assert found.zeros[i] == one.zero
        assert (found.ups[i], found.downs[i]) == (one.positive_step, one.negative_step)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_correlations_are_those_of_the_densified_matrices(data: st.DataObject) -> None:
    n, shapes = data.draw(st.integers(2, 12)), (data.draw(st.integers(1, 4)), 3)
    atlases, dense = [], []
    for i, n_units in enumerate(shapes):
        values = data.draw(npst.arrays(np.float32, (n, n_units), elements=tied))
        is_kept = data.draw(npst.arrays(np.bool_, (n, n_units)))
        atlas, matrix = make_atlas(f"{i}", values, is_kept)
        atlases.append(atlas)
        dense.append(matrix)
    for unit in range(shapes[0]):
        for found, matrix in zip(correlations(atlases[0], unit, atlases), dense, strict=True):
            varies = np.ptp(matrix, axis=0) > 0
            wanted = numpy_correlations(dense[0][:, unit], matrix)
            if np.ptp(dense[0][:, unit]) == 0:
                varies[:] = False
            assert (np.isnan(found) == ~varies).all()
            assert found[varies] == pytest.approx(wanted[varies], abs=1e-9)
