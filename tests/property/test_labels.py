"""Best rules are those that the figures of rule search, rule by rule, would choose."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from app.atlas.opened import OpenAtlas
from app.labels import best as choosing
from app.labels.best import best_rules, library_rank
from app.labels.library import Library, turned
from app.rule_search.figures import figures
from app.rules.language import Tokens
from app.rules.library import LibraryRule
from tests.naive_atlas import make_atlas

TIED = 1e-9
elements = st.sampled_from([0.0, 0.0, 0.0, 0.5, -0.25, -2.0, 1.0, 1.0, 3.0, 0.75])


@st.composite
def cases(draw: Callable) -> tuple[OpenAtlas, Library, list[LibraryRule]]:  # type: ignore[type-arg]
    n, n_units, n_rules = draw(st.integers(2, 12)), draw(st.integers(1, 6)), draw(st.integers(1, 5))
    values = draw(npst.arrays(np.float32, (n, n_units), elements=elements))
    is_kept = draw(st.one_of(st.just(np.ones(values.shape, bool)), npst.arrays(bool, values.shape)))
    masks = draw(npst.arrays(bool, (n_rules, n)))
    rules = [
        LibraryRule(Tokens(tokens=(str(i),)), np.flatnonzero(mask))
        for i, mask in enumerate(masks)
        if 0 < mask.sum() < n
    ]
    atlas, _ = make_atlas("case", values, is_kept)
    return atlas, turned(rules, n), rules


def wanted(
    atlas: OpenAtlas, rules: list[LibraryRule]
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """For each rule (row) and unit, every figure, and whether its mean is more there."""
    found = [figures([atlas], rule.matched)[0] for rule in rules]
    names = ("r2", "mass_explained", "precision", "recall")
    dense = np.zeros((atlas.n_positions, atlas.n_units))
    for unit in range(atlas.n_units):
        positions, values = atlas.of_unit(unit)
        dense[positions, unit] = values
    is_more = np.array(
        [dense[rule.matched].mean(0) > dense.mean(0) + TIED for rule in rules]
    ).reshape(len(rules), atlas.n_units)
    table = {name: np.array([each.of(name) for each in found]) for name in names}
    return table["r2"], table, is_more


@given(cases(), st.integers(0, 3), st.integers(1, 9))
def test_the_best_rule_and_its_figures_are_those_of_rule_search(
    case: tuple[OpenAtlas, Library, list[LibraryRule]], n_least: int, n_ranges: int
) -> None:
    atlas, library, rules = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "RANGES_A_THREAD", n_ranges)
        found = best_rules(atlas, library, n_least)
    r2, table, is_more = wanted(atlas, rules) if rules else (np.zeros((0, 1)), {}, np.zeros((0, 1)))
    for unit in range(atlas.n_units):
        known = [i for i in range(len(rules)) if is_more[i, unit] and r2[i, unit] >= 0]
        is_rounding = bool(found.r2[unit] < TIED)  # equal means, to the last bits
        if atlas.totals.n_positive[unit] < n_least or (not known and not is_rounding):
            assert found.best[unit] == -1
            assert np.isnan(found.r2[unit])
            continue
        chosen = int(found.best[unit])
        greatest = max(r2[i, unit] for i in known)
        if is_rounding:
            continue
        assert chosen in known
        assert r2[chosen, unit] == pytest.approx(greatest, abs=1e-6)
        # Of equals the first; what rounding alone tells apart may fall either way.
        same = [i for i in known if np.array_equal(rules[i].matched, rules[chosen].matched)]
        assert chosen == same[0]
        for name in table:
            value = getattr(found, name)[unit]
            assert value == pytest.approx(table[name][chosen, unit], abs=1e-5, nan_ok=True), name


@given(cases(), st.integers(0, 5), st.floats(0, 1))
def test_a_rule_stands_behind_those_that_explain_more(
    case: tuple[OpenAtlas, Library, list[LibraryRule]], unit: int, r2: float
) -> None:
    atlas, library, rules = case
    unit %= atlas.n_units
    found = library_rank(atlas, unit, library, r2)
    assert found.n_rules == len(rules)
    best = best_rules(atlas, library, n_least=0)
    if best.best[unit] < 0:
        assert found == (1, len(rules), None, None)
        return
    assert found.best == library.rules[best.best[unit]]
    assert found.best_r2 == best.r2[unit]
    assert (found.place == 1) == (best.r2[unit] <= r2 * (1 + choosing.ROUNDING))
    least = library_rank(atlas, unit, library, -1.0).place
    assert least >= 1 + int(np.nansum(wanted(atlas, rules)[2][:, unit]))


def test_positions_hold_the_rules_that_hold_there() -> None:
    rules = [
        LibraryRule(Tokens(tokens=(str(i),)), np.array(matched))
        for i, matched in enumerate([[0, 3], [3], [1, 2, 3]])
    ]
    library = turned(rules, 5)
    held = [
        library.holding[a:b].tolist()
        for a, b in zip(library.starts, library.starts[1:], strict=False)
    ]
    assert held == [[0], [2], [2], [0, 1, 2], []]
    assert library.n_matched.tolist() == [2, 1, 3]
