"""An atlas by units is the same as by positions, whatever is in it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tests.naive_atlas import make_atlas

tied = st.sampled_from([0.0, 0.0, 0.5, -0.25, 1.0, 3.0])


@given(st.data(), st.integers(0, 12), st.integers(1, 5))
def test_units_have_the_entries_of_the_rows(data: st.DataObject, n: int, n_units: int) -> None:
    values = data.draw(npst.arrays(np.float32, (n + 1, n_units), elements=tied))
    is_kept = data.draw(npst.arrays(np.bool_, values.shape))
    atlas, dense = make_atlas("any", values, is_kept)
    kept, totals = atlas.by_unit, atlas.totals
    for unit, column in enumerate(dense.T):
        positions, found = atlas.of_unit(unit)
        assert positions.tolist() == np.flatnonzero(column).tolist()
        assert found.tolist() == column[positions].tolist()
        some = slice(*kept.kind_starts[unit : unit + 2])
        of_levels = atlas.levels[atlas.units == unit]
        kinds, counts = np.unique(of_levels, return_counts=True)
        assert kept.kinds[some].tolist() == kinds.tolist()
        assert kept.kind_counts[some].tolist() == counts.tolist()
        wide = column.astype(np.float64)
        assert totals.n_positive[unit] == (wide > 0).sum()
        assert totals.n_negative[unit] == (wide < 0).sum()
        np.testing.assert_allclose(totals.mass[unit], np.maximum(wide, 0).sum())
        np.testing.assert_allclose(totals.sums[unit], wide.sum(), atol=1e-12)
        np.testing.assert_allclose(totals.squares[unit], (wide**2).sum())
