"""What the best of many reaches when the rule is moved away from what it matched."""

import numpy as np
import pytest

from app.errors import InvalidInput
from app.rule_search.chance import chance, shifts
from app.rule_search.figures import figures
from app.rule_search.ranking import Searched, search
from tests.naive_atlas import make_atlas

DOCUMENTS = np.repeat(np.arange(20, dtype=np.int32), 50)


def follower(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Activations of 30 units, of which unit 7 follows the mask that comes with them."""
    mask = rng.random(len(DOCUMENTS)) < 0.1
    values = np.where(rng.random((len(mask), 30)) < 0.05, 1, 0).astype(np.float32)
    values[:, 7] = mask
    return values, np.flatnonzero(mask)


def test_a_unit_that_follows_the_rule_stands_out_from_chance() -> None:
    values, matched = follower(np.random.default_rng(0))
    atlas, _ = make_atlas("one", values, np.ones(values.shape, bool))
    found = chance([atlas], matched, DOCUMENTS, sort="mcc")
    assert len(found.best) == 3
    assert found.reached is not None and found.reached < 0.3
    best = search([Searched(atlas)], matched, DOCUMENTS, sort="mcc").items[0]
    assert (best.unit, best.values["mcc"]) == (7, 1.0)


def test_chance_looks_only_at_the_units_asked_for() -> None:
    values, matched = follower(np.random.default_rng(1))
    atlas, _ = make_atlas("two", values, np.ones(values.shape, bool))
    asked = np.arange(30) < 3
    found = chance([atlas], matched, DOCUMENTS, [asked], n_shifts=1)
    moved = np.sort((matched + shifts(DOCUMENTS, 1)[0]) % len(DOCUMENTS))
    assert found.best == (figures([atlas], moved)[0].of("mcc")[:3].max(),)


def test_one_document_and_a_rule_without_matches_have_no_chance() -> None:
    values, matched = follower(np.random.default_rng(2))
    atlas, _ = make_atlas("three", values, np.ones(values.shape, bool))
    assert chance([atlas], matched, np.zeros_like(DOCUMENTS)).reached is None
    assert chance([atlas], matched[:0], DOCUMENTS).reached is None


def test_moves_are_to_starts_of_other_documents_and_always_the_same() -> None:
    found = shifts(DOCUMENTS, 100)
    assert sorted(found) == [*range(50, 1000, 50)]
    assert found[:3].tolist() == shifts(DOCUMENTS, 100)[:3].tolist()


@pytest.mark.parametrize("threshold", [-0.5, float("nan"), float("inf")])
def test_a_threshold_that_is_none_is_refused(threshold: float) -> None:
    values, matched = follower(np.random.default_rng(3))
    atlas, _ = make_atlas("four", values, np.ones(values.shape, bool))
    with pytest.raises(InvalidInput, match=str(threshold)):
        figures([atlas], matched, None, threshold)


def test_a_figure_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'accuracy'.*auroc, mcc"):
        search([], np.zeros(0, np.int64), DOCUMENTS, sort="accuracy")  # type: ignore[arg-type]
