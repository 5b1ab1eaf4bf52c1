"""Rules in words."""

import pytest

from app.labels.words import describe
from app.rules.text import parse


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('" def"', 'the token " def"'),
        ('["a", "b"]', 'one of the tokens "a", "b"'),
        ('previous(" import")', 'after " import"'),
        ("previous(:digit)", "after a digit"),
        ("previous(:digit | :upper)", "after (a digit or a capital letter)"),
        ('within(5, "(")', 'at most 5 tokens after "("'),
        (":word_start", "the start of a word"),
        ('prefix(" un")', 'tokens that begin with " un"'),
        ('suffix("ing")', 'tokens that end in "ing"'),
        ("line(0, 0)", "the first token of a line"),
        ("line(2, 2)", "token 3 of a line"),
        ("line(4, 7)", "tokens 5 to 8 of a line"),
        ("line(64, 4000)", "from token 65 of a line on"),
        ("inside(comment)", "inside a comment"),
        (r"/\bdef\b/", r'a match of "\\bdef\\b"'),
        ("/def/@after", 'right after a match of "def"'),
        ('!"a" & (:digit | :space)', 'not the token "a" and (a digit or blank space)'),
        ('"\\n"', 'the token "\\n"'),
        ('"\\u202e"', 'the token "\\u202e"'),
    ],
)
def test_a_rule_is_said_in_words(rule: str, words: str) -> None:
    assert describe(parse(rule)) == words
