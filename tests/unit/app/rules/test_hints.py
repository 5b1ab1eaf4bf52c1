"""A rule that holds nowhere says why, and what is near."""

import pytest

from app.rules.hints import examine
from app.rules.text import parse
from tests.naive_rules import cut, stored

TEXT = stored([cut(0, "in Paris paris XY", [2, 8, 14, 15, 16], [0])])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('"Paris"', 'No token is "Paris". Near it: " Paris" (1 times), " paris" (1 times).'),
        ('"XY"', "as text it is there 1 times: try /XY/."),
        ('"nowhere"', "nor is it anywhere in the text"),
        ('"<bos>"', "only put in, where nothing is counted"),
        ("/PARIS/", "in any case of letters, /(?i)PARIS/: 2."),
        ("/absent/", "matches no token in this atlas, in any case"),
        ('prefix("zz")', "No token's text begins with"),
        ('suffix("zz")', "No token's text ends with"),
        ('" Paris" & previous(" paris")', "Each part holds somewhere, but never at one token"),
        ('previous("PARIS")', 'No token is "PARIS"'),
    ],
)
def test_a_rule_that_holds_nowhere_says_what_is_near(line: str, words: str) -> None:
    found = examine(parse(line), TEXT)
    assert len(found.matched) == 0
    assert any(words in hint for hint in found.hints), found.hints


def test_a_rule_that_holds_somewhere_needs_no_hint() -> None:
    found = examine(parse('" Paris" | "nowhere"'), TEXT)
    assert found.matched.tolist() == [1]
    assert (found.n_examined, found.hints) == (TEXT.n_positions, ())


def test_hints_are_few() -> None:
    many = " | ".join(f'"absent-{i}"' for i in range(60))
    assert len(examine(parse(many), TEXT).hints) <= 4
