"""The library: bounded, in one order, each rule with its positions, nothing about what follows."""

import numpy as np

from app.rules.evaluation import evaluate
from app.rules.language import AnyRule, Regex, parts_of
from app.rules.library import candidates, library
from app.rules.text import to_text
from tests.naive_rules import cut, stored

LINES = [f'def name_{i}(self, x):\n    return "{i} of {i}"  # none\n' for i in range(300)]
WINDOWS = [cut(i, line, list(range(0, 60, 1 + i % 4)), [0]) for i, line in enumerate(LINES)]
TEXT = stored(WINDOWS)


def test_the_library_is_bounded_and_always_in_the_same_order() -> None:
    first = [to_text(found.rule) for found in library(TEXT)]
    assert 50 < len(first) <= 1500
    assert len(set(first)) == len(first)
    assert first == [to_text(found.rule) for found in library(stored(WINDOWS))]
    kinds = ('"', ":digit", "previous(", "within(", "prefix(", "suffix(", "line(", "inside(")
    assert all(any(line.startswith(kind) for line in first) for kind in kinds)


def test_each_rule_comes_with_the_positions_where_it_holds() -> None:
    for found in library(TEXT, n_least=25):
        assert np.array_equal(found.matched, evaluate(found.rule, TEXT))
        assert 25 <= len(found.matched) < TEXT.n_positions


def test_no_rule_asks_for_what_follows() -> None:
    def has_regex(rule: AnyRule) -> bool:
        return isinstance(rule, Regex) or any(map(has_regex, parts_of(rule)))

    assert not any(has_regex(rule) for rule in candidates(TEXT))


def test_an_empty_text_has_no_rules() -> None:
    assert list(library(stored([]))) == []
