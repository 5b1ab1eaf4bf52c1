"""Figures where the property tests' atlases do not go: levels of zero, files, many rows."""

from pathlib import Path

import numpy as np
import pytest

from app.atlas import unit_major
from app.atlas.opened import OpenAtlas
from app.rule_search import figures as counting
from app.rule_search.figures import FIGURES, figures
from app.rule_search.one_unit import bands
from tests.naive_atlas import make_atlas


def test_a_stored_level_of_zero_is_as_if_it_were_not_stored() -> None:
    lows, highs = np.array([-1, 0], np.float32), np.array([1, 1], np.float32)
    zeros = [128, 0]  # of these scales
    units, levels = np.array([0, 1, 0, 1, 0], np.uint16), np.array([*zeros, 200, 9, 3], np.uint8)
    starts = np.array([0, 2, 4, 5, 5], np.int64)
    with_zeros = OpenAtlas("zeros", starts, units, levels, lows, highs, lows)
    assert with_zeros.scales.zeros.tolist() == zeros
    less = np.array([0, 0, 2, 3, 3], np.int64)
    without = OpenAtlas("none", less, units[2:], levels[2:], lows, highs, lows)
    for matched in ([0], [0, 2], [1], [0, 1, 3], [1, 2, 3]):
        both = [figures([a], np.array(matched))[0] for a in (with_zeros, without)]
        np.testing.assert_allclose(both[0].values, both[1].values, rtol=1e-6)
        np.testing.assert_array_equal(both[0].tp, both[1].tp)


def test_all_figures_of_a_unit_that_is_the_rule_are_1_and_of_a_dead_one_unknown() -> None:
    values = np.array([[1, 0], [0, 0], [1, 0], [0, 0]], np.float32)
    atlas, _ = make_atlas("rule", values, np.ones(values.shape, bool))
    found = figures([atlas], np.array([0, 2]))[0]
    assert found.values[:, 0].tolist() == [1] * len(FIGURES)
    known = {name: found.of(name)[1] for name in FIGURES if not np.isnan(found.of(name)[1])}
    assert known == {"auroc": 0.5, "recall": 0}


def test_files_give_what_memory_gives_however_work_is_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 40)).astype(np.float32)
    atlas, _ = make_atlas("files", values, rng.random(values.shape) < 0.2)
    unit_major.write(tmp_path, "files", atlas.starts, atlas.units, atlas.levels, 40)
    kept = unit_major.read(tmp_path, "files", 40, len(atlas.units))
    mapped = OpenAtlas(
        "files",
        atlas.starts,
        atlas.units,
        atlas.levels,
        atlas.lows,
        atlas.highs,
        atlas.floors,
        kept,
    )
    matched = np.flatnonzero(rng.random(300) < 0.3)
    wanted = figures([atlas], matched)[0].values
    monkeypatch.setattr(counting, "RANGE_ENTRIES", 10)
    twice = figures([mapped, atlas], matched, [None, np.arange(40) % 7 == 3])
    np.testing.assert_array_equal(twice[0].values, wanted)
    np.testing.assert_array_equal(twice[1].values[:, 3::7], wanted[:, 3::7])
    assert np.isnan(twice[1].values[:, 2]).all()


def test_no_atlas_and_no_bands_are_empty_answers() -> None:
    assert figures([], np.zeros(0, np.int64)) == []
    atlas, _ = make_atlas("bands", np.ones((3, 1), np.float32), np.ones((3, 1), bool))
    assert bands(atlas, 0, np.zeros(0, np.int64), np.ones(1, np.float32)) == []
