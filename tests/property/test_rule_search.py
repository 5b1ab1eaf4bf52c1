"""A rule's figures, ranking and intervals are those of plain loops over the densified matrix."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from app.atlas.opened import OpenAtlas
from app.rule_search import figures as counting
from app.rule_search import intervals as drawing
from app.rule_search.figures import FIGURES, figures
from app.rule_search.intervals import draw, intervals
from app.rule_search.one_unit import bands, counter_examples, evidence, of_one
from app.rule_search.ranking import Searched, rank, search, top
from app.rule_search.thresholds import at_thresholds
from tests.naive_atlas import make_atlas

NAN = float("nan")
tied = st.sampled_from([0.0, 0.0, 0.0, 0.5, -0.25, 1.0, 1.0, 3.0])
always = st.sampled_from([0.5, 0.75, 3.0])
finite = st.floats(-(2**20), 2**20, width=32, allow_subnormal=False)  # steps of 0 have no levels


@dataclass
class Case:
    atlas: OpenAtlas
    dense: np.ndarray
    matched: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        return np.isin(np.arange(len(self.dense)), self.matched)


@st.composite
def cases(draw: Callable, most: int = 12) -> Case:  # type: ignore[type-arg]
    n, n_units = draw(st.integers(1, most)), draw(st.integers(1, 5))
    elements = draw(st.sampled_from([tied, tied, always, finite]))
    values = draw(npst.arrays(np.float32, (n, n_units), elements=elements))
    kept = draw(st.one_of(st.just(np.ones(values.shape, bool)), npst.arrays(bool, values.shape)))
    mask = draw(st.one_of(st.just(np.zeros(n, bool)), st.just(np.ones(n, bool)),
                          npst.arrays(bool, n), npst.arrays(bool, n)))  # fmt: skip
    atlas, dense = make_atlas("case", values, kept)
    return Case(atlas, dense, np.flatnonzero(mask))


def naive(a: np.ndarray, m: np.ndarray, threshold: float) -> dict[str, float]:
    """Straight from the definitions, position by position, in Python's own numbers."""
    x, y = [float(v) for v in a], [bool(v) for v in m]
    pairs = [(p, q) for p, is_in in zip(x, y, strict=True) if is_in
             for q, is_out in zip(x, y, strict=True) if not is_out]  # fmt: skip
    tp = sum(v > threshold and w for v, w in zip(x, y, strict=True))
    fp = sum(v > threshold and not w for v, w in zip(x, y, strict=True))
    fn, tn = sum(y) - tp, len(y) - sum(y) - fp
    margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    mass = sum(v for v in x if v > 0)
    return {
        "tp": tp, "fp": fp, "fn": fn, "tn": tn,
        "auroc": sum((p > q) + (p == q) / 2 for p, q in pairs) / len(pairs) if pairs else NAN,
        "mcc": (tp * tn - fp * fn) / margins**0.5 if margins else NAN,
        "mass_explained": sum(v for v, w in zip(x, y, strict=True) if w and v > 0) / mass
        if mass else NAN,
        "r2": explained(x, y),
        "precision": tp / (tp + fp) if tp + fp else NAN,
        "recall": tp / (tp + fn) if tp + fn else NAN,
    }  # fmt: skip


def explained(x: list[float], y: list[bool]) -> float:
    """1 − (variance left by the two conditional means) ÷ variance."""
    if len(set(x)) < 2 or len(set(y)) < 2:
        return NAN
    mean = sum(x) / len(x)
    left = 0.0
    for side in (False, True):
        group = [v for v, w in zip(x, y, strict=True) if w == side]
        left += sum((v - sum(group) / len(group)) ** 2 for v in group)
    return 1 - left / sum((v - mean) ** 2 for v in x)


def check(found: dict, wanted: dict) -> None:
    for name in FIGURES:
        assert found[name] == pytest.approx(wanted[name], rel=1e-5, abs=1e-6, nan_ok=True), name


@given(cases(), st.sampled_from([0.0, 0.0, 0.3, 0.5, 1.0, 100.0]), st.integers(1, 4))
def test_figures_are_those_of_plain_loops(case: Case, threshold: float, n_units: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "RANGE_UNITS", n_units)
        found = figures([case.atlas], case.matched, None, threshold)[0]
    for unit, column in enumerate(case.dense.T):
        wanted = naive(column, case.mask, threshold)
        confusion = found.confusion(unit)._asdict()
        assert confusion == {name: wanted[name] for name in confusion}
        check({name: found.of(name)[unit] for name in FIGURES}, wanted)


@given(cases())
def test_the_best_threshold_has_the_greatest_mcc(case: Case) -> None:
    found = figures([case.atlas], case.matched, None, "best")[0]
    for unit, column in enumerate(case.dense.T):
        every = [naive(column, case.mask, float(t)) for t in {0.0, *column[column > 0]}]
        known = [each["mcc"] for each in every if not np.isnan(each["mcc"])]
        best = found.of("mcc")[unit]
        assert best == pytest.approx(max(known, default=NAN), abs=1e-9, nan_ok=True)
        at_it = naive(column, case.mask, found.threshold(unit))
        check({name: found.of(name)[unit] for name in FIGURES}, at_it)
        assert found.confusion(unit)._asdict() == {
            name: at_it[name] for name in ("tp", "fp", "fn", "tn")
        }


@given(cases(), st.integers(0, 4))
def test_one_unit_alone_is_as_among_all(case: Case, unit: int) -> None:
    unit %= case.atlas.n_units
    everywhere, alone = (
        figures([case.atlas], case.matched)[0],
        of_one(case.atlas, unit, case.matched),
    )
    np.testing.assert_array_equal(everywhere.values[:, unit], alone.values[:, unit])
    assert everywhere.confusion(unit) == alone.confusion(unit)


@given(st.data(), cases(), st.integers(0, 12), st.sampled_from(FIGURES))
def test_the_top_is_that_of_a_stable_sort_after_filters(
    data: st.DataObject, case: Case, limit: int, sort: str
) -> None:
    n_units = case.atlas.n_units
    mask = data.draw(npst.arrays(bool, n_units))
    densities = data.draw(npst.arrays(np.float64, n_units, elements=st.sampled_from([0.0, 0.1, 1])))
    sources = [Searched(case.atlas, mask, densities), Searched(case.atlas, None, densities)]
    documents = np.zeros(len(case.dense), np.int32)
    found = search(
        sources, case.matched, documents, sort=sort, limit=limit, min_density=0.1, max_density=0.5
    )
    keys = figures([case.atlas], case.matched)[0].of(sort)
    passes = [mask & (densities == 0.1), densities == 0.1]
    every = [(i, u) for i in (0, 1) for u in range(n_units) if passes[i][u]]
    every.sort(key=lambda place: (np.isnan(keys[place[1]]), -np.nan_to_num(keys[place[1]])))
    assert [(item.source, item.unit) for item in found.items] == every[:limit]
    assert found.n_units == len(every)
    assert found.n_defined == sum(not np.isnan(keys[unit]) for _, unit in every)
    for item in found.items:
        assert set(item.intervals.values()) <= {None}  # one document
    assert (found.n_matched, found.n_positions) == (len(case.matched), len(case.dense))


@given(npst.arrays(np.float64, 9, elements=st.sampled_from([0.0, 1.0, 2.0, NAN])),
       npst.arrays(bool, 9))  # fmt: skip
def test_equal_units_share_the_first_of_their_places_in_the_top(
    keys: np.ndarray, asked: np.ndarray
) -> None:
    split, masks = [keys[:4], keys[4:]], [asked[:4], asked[4:]]
    places = top(split, masks, 9)
    ordered = [float(split[source][unit]) for source, unit in places]
    for own, (source, unit) in zip(ordered, places, strict=True):
        wanted = None if np.isnan(own) else (1 + ordered.index(own), ordered.count(own))
        assert rank(split, masks, source, unit) == wanted


@given(st.data(), cases(most=30))
def test_intervals_are_percentiles_over_documents_drawn_again(
    data: st.DataObject, case: Case
) -> None:
    n = len(case.dense)
    documents = np.sort(data.draw(npst.arrays(np.int32, n, elements=st.integers(0, 5)))) * 7
    names = np.unique(documents)
    weights = drawing._weights(len(names))
    asked = [(case.atlas, u, int(case.atlas.scales.zeros[u])) for u in range(case.atlas.n_units)]
    found = intervals(asked, draw(case.matched, documents))
    for unit, column in enumerate(case.dense.T):
        each = [replicate(column, case.mask, documents, names, w) for w in weights.T[:12]]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drawing, "_weights", lambda _: weights[:, :12].copy())
            some = intervals(asked[unit : unit + 1], draw(case.matched, documents))[0]
        for row, name in enumerate(FIGURES):
            values = np.array([one[name] for one in each])
            if len(names) < 2 or np.isnan(values).sum() > 6:
                assert np.isnan(some[row]).all()
            else:
                wanted = np.nanpercentile(values, (2.5, 97.5))
                if wanted[0] == wanted[1] and wanted[0] in (0, 1):
                    wanted = of_three(name, wanted[0], column, case.mask, documents)
                assert some[row] == pytest.approx(wanted, rel=1e-5, abs=1e-6)
    assert len(found) == case.atlas.n_units


def of_three(
    name: str, value: float, a: np.ndarray, m: np.ndarray, documents: np.ndarray
) -> tuple[float, float]:
    """The rule of three for a figure that is `value` in every draw."""
    if name not in ("precision", "recall", "mass_explained"):
        return value, value
    n = len(set(documents[m if name == "recall" else a > 0]))
    most = min(3 / n, 1)
    return (0, most) if value == 0 else (1 - most, 1)


def test_a_recall_of_1_is_no_surer_than_its_documents_are_many() -> None:
    mask = np.zeros(400, bool)
    mask[5:400:10] = True  # one in each of 40 documents
    atlas, _ = make_atlas("sure", mask[:, None].astype(np.float32), np.ones((400, 1), bool))
    found = evidence(atlas, 0, np.flatnonzero(mask), np.repeat(np.arange(40, dtype=np.int32), 10))
    assert found.intervals["recall"] == pytest.approx((1 - 3 / 40, 1))
    assert found.intervals["precision"] == pytest.approx((1 - 3 / 40, 1))
    assert found.intervals["mass_explained"] == pytest.approx((1 - 3 / 40, 1))
    nowhere = evidence(atlas, 0, np.array([6]), np.repeat(np.arange(2, dtype=np.int32), 200))
    assert nowhere.intervals["precision"] == (0, 1)


def replicate(
    a: np.ndarray, m: np.ndarray, documents: np.ndarray, names: np.ndarray, weights: np.ndarray
) -> dict[str, float]:
    places = [i for name, w in zip(names, weights, strict=True)
              for i in np.flatnonzero(documents == name).tolist() * int(w)]  # fmt: skip
    return naive(a[places], m[places], 0.0)


def test_many_documents_are_drawn_in_whole_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "MAX_BLOCKS", 3)
    documents = np.repeat(np.arange(7, dtype=np.int32), [1, 2, 3, 1, 2, 3, 4])
    draws = draw(np.array([0, 5, 15]), documents)
    assert draws.weights.shape == (3, drawing.N_REPLICATES)
    assert all(len(set(draws.blocks[documents == each])) == 1 for each in range(7))
    assert (np.diff(draws.blocks) >= 0).all()
    assert (draws.weights.sum(0) == 3).all()


@given(st.data(), cases())
def test_bands_share_out_every_position(data: st.DataObject, case: Case) -> None:
    unit = data.draw(st.integers(0, case.atlas.n_units - 1))
    column, mask = case.dense[:, unit], case.mask
    cuts = data.draw(st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, 2.0]), unique=True))
    edges = np.array(sorted({-(2.0**21), *cuts, 2.0**21}), np.float32)
    for band, (low, high) in zip(
        bands(case.atlas, unit, case.matched, edges), itertools.pairwise(edges), strict=True
    ):
        is_in = (column >= low) & ((column < high) | (high == edges[-1]))
        assert (band.n_positions, band.n_matched) == (is_in.sum(), (is_in & mask).sum())
        wide = np.abs(column.astype(np.float64))
        assert band.mass == pytest.approx(wide[is_in].sum())
        assert band.mass_matched == pytest.approx(wide[is_in & mask].sum())


@given(st.data(), cases(), st.sampled_from([0.0, 0.5]), st.integers(0, 5))
def test_counter_examples_are_of_both_kinds(
    data: st.DataObject, case: Case, threshold: float, limit: int
) -> None:
    unit = data.draw(st.integers(0, case.atlas.n_units - 1))
    column, mask = case.dense[:, unit], case.mask
    windows = np.sort(data.draw(npst.arrays(np.int64, len(column), elements=st.integers(0, 9))))
    asked = (case.atlas, unit, case.matched, windows, threshold, limit)
    found = counter_examples(*asked)
    without = sorted(np.flatnonzero((column > threshold) & ~mask), key=lambda i: (-column[i], i))
    first = {windows[i]: i for i in reversed(without)}
    assert found.fires_without.tolist() == [i for i in without if first[windows[i]] == i][:limit]
    assert found.n_fires_without == len(without)
    silent = np.flatnonzero((column <= threshold) & mask)
    assert found.n_silent_despite == len(silent)
    assert len(found.silent_despite) == min(limit, len(set(windows[silent])))
    assert len(set(windows[found.silent_despite])) == len(found.silent_despite)
    assert set(found.silent_despite) <= set(silent)
    again = counter_examples(*asked)
    assert found.silent_despite.tolist() == again.silent_despite.tolist()
    assert found.fires_values.tolist() == column[found.fires_without].tolist()
    assert found.silent_values.tolist() == column[found.silent_despite].tolist()


def test_evidence_on_a_unit_has_its_figures_and_intervals_around_them() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random(400) < 0.2
    values = np.where(mask & (rng.random(400) < 0.8), rng.random(400), 0)
    values[rng.random(400) < 0.02] = 0.5
    atlas, _ = make_atlas("unit", values[:, None].astype(np.float32), np.ones((400, 1), bool))
    documents = np.repeat(np.arange(40, dtype=np.int32), 10)
    found = evidence(atlas, 0, np.flatnonzero(mask), documents)
    for name in FIGURES:
        bounds, value = found.intervals[name], found.values[name]
        assert bounds is not None and value is not None
        assert bounds[0] < value < bounds[1]


@given(cases(), st.integers(1, 7))
def test_a_moved_threshold_gives_the_figures_that_a_report_at_it_gives(case: Case, n: int) -> None:
    for unit in range(case.atlas.n_units):
        found = at_thresholds(case.atlas, unit, case.matched, n)
        if not case.atlas.highs[unit] > 0:
            assert found == []
            continue
        assert [each.threshold for each in found] == pytest.approx(
            [float(case.atlas.highs[unit]) * i / n for i in range(n)], rel=1e-3
        )
        for each in found:
            wanted = naive(case.dense[:, unit], case.mask, each.threshold)
            for name in ("precision", "recall", "mcc"):
                value = getattr(each, name)
                value = NAN if value is None else value
                assert value == pytest.approx(wanted[name], rel=1e-6, abs=1e-9, nan_ok=True)
