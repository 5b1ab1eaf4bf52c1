"""What is stored of an atlas is what a dense computation says it should be."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from app.codec import Scale, encode
from tests.property.activations import tied, values
from workers.kernels import atlas, band_errors, stored_atlas
from workers.sinks import atlases
from workers.sinks.atlases import pieces_of

matrices = st.tuples(st.integers(1, 9), st.integers(1, 30)).flatmap(
    lambda shape: st.sampled_from([tied, values]).flatmap(
        lambda elements: npst.arrays(np.float32, shape, elements=elements)
    )
)


def rows_of(x: np.ndarray, most: int | None, n_blocks: int) -> tuple[stored_atlas.Rows, np.ndarray]:
    parts = [part for part in np.array_split(x, n_blocks) if len(part)]
    blocks = [_keep(part, most) for part in parts]
    floors = np.concatenate([block.floors for block in blocks])
    return stored_atlas.Rows.of(x.shape[1], blocks), floors


def _keep(x: np.ndarray, most: int | None) -> stored_atlas.Entries:
    ordered = np.sort(x, axis=1)
    if most is None:
        return stored_atlas.keep_active(atlas.find_active(x), ordered)
    return stored_atlas.keep(x, ordered, most)


@given(x=matrices, most=st.one_of(st.none(), st.integers(0, 12)), n_blocks=st.integers(1, 3))
def test_rows_hold_each_units_strongest_and_no_zero(
    x: np.ndarray, most: int | None, n_blocks: int
) -> None:
    rows, floors = rows_of(x, most, n_blocks)
    found = np.zeros(x.shape, dtype=int) - 1
    for position in range(x.shape[1]):
        units, levels = rows.between(position, position + 1)
        assert (np.diff(units) > 0).all()
        found[units, position] = levels
    for unit, row in enumerate(x):
        magnitudes = sorted((abs(float(v)) for v in row), reverse=True)
        floor = 0.0 if most is None or most >= len(row) or most == 0 else magnitudes[most - 1]
        assert floors[unit] == floor
        levels = encode(row, Scale(float(row.min()), float(row.max())))
        is_due = (row != 0) & (np.abs(row) >= floor)
        expected = np.where(is_due, levels.astype(int), -1)
        assert found[unit].tolist() == expected.tolist()


@given(x=matrices, size=st.integers(1, 60), unit_bytes=st.sampled_from([2, 4]))
def test_pieces_put_together_are_the_rows(x: np.ndarray, size: int, unit_bytes: int) -> None:
    rows, _ = rows_of(x, None, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atlases, "PIECE_BYTES", size)
        pieces = list(pieces_of(rows, unit_bytes))
    counts = np.concatenate([np.frombuffer(p.counts, "<u4") for p in pieces])
    assert counts.tolist() == np.diff(rows.starts).tolist()
    units = np.concatenate([np.frombuffer(p.units, f"<u{unit_bytes}") for p in pieces])
    all_units, all_levels = rows.between(0, x.shape[1])
    assert units.tolist() == all_units.tolist()
    assert b"".join(p.levels for p in pieces) == all_levels.tobytes()
    firsts = np.cumsum([0, *(len(p.counts) // 4 for p in pieces)])[:-1]
    assert [p.first_position for p in pieces] == firsts.tolist()


def naive_errors(x: list[float], edges: list[float], documents: list[int], left: float) -> list:
    """Shares of positions and of mass, straight from the formula."""
    names = sorted(set(documents))
    n_bands = len(edges) - 1

    def band(v: float) -> int:
        return max((b for b in range(n_bands) if v >= edges[b]), default=0)

    both = []
    for weight in (lambda v: 1.0, abs):
        of = {(d, b): 0.0 for d in names for b in range(n_bands)}
        for v, d in zip(x, documents, strict=True):
            of[d, band(v)] += weight(v)
        total = sum(of.values())
        found = []
        for b in range(n_bands):
            share = sum(of[d, b] for d in names) / total if total else 0.0
            squares = sum(
                (of[d, b] - share * sum(of[d, c] for c in range(n_bands))) ** 2 for d in names
            )
            n = len(names)
            found.append(math.sqrt(n / (n - 1) * squares / total**2 * left) if total else 0.0)
        both.append(found)
    return both


@given(data=st.data(), x=npst.arrays(np.float32, st.integers(2, 40), elements=values))
def test_errors_follow_the_formula(data: st.DataObject, x: np.ndarray) -> None:
    n_documents = data.draw(st.integers(2, min(5, len(x))))
    cuts = data.draw(st.permutations(range(1, len(x))))[: n_documents - 1]
    firsts = np.array([0, *sorted(cuts), len(x)])
    documents = np.repeat(np.arange(n_documents), np.diff(firsts)).tolist()
    edges = sorted({float(x.min()), *data.draw(st.lists(st.sampled_from(x.tolist()), max_size=3))})
    edges.append(float(x.max()))
    found = band_errors.band_errors(x, np.array(edges, np.float32), firsts, 0.25)
    expected = naive_errors(x.tolist(), edges, documents, 0.75)
    np.testing.assert_allclose(found.shares, expected[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.mass, expected[1], rtol=1e-4, atol=1e-6)
    places = np.flatnonzero(x)
    of_active = np.searchsorted(places, firsts)
    n_zeros = np.diff(firsts) - np.diff(of_active)
    given_active = (x[places], np.array(edges, np.float32), of_active, 0.25, n_zeros)
    same = band_errors.band_errors(*given_active)
    np.testing.assert_allclose(same.shares, expected[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(same.mass, expected[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("n_documents", "share"), [(1, 0.1), (3, 1.0)])
def test_one_document_or_the_whole_corpus_has_no_errors(n_documents: int, share: float) -> None:
    x, edges = np.arange(6, dtype=np.float32), np.array([0, 3, 5], np.float32)
    firsts = np.array([0, 2, 4, 6]) if n_documents == 3 else np.array([0, 6])
    found = band_errors.band_errors(x, edges, firsts, share)
    assert len(found.shares) == len(found.mass) == 0
