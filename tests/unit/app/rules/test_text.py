"""The one-line form: what is written means what is meant, and errors point at their column."""

from typing import Any

import pytest

from app.errors import InvalidInput
from app.rules.language import to_value
from app.rules.reading import read
from app.rules.text import parse, to_text

READ: list[tuple[str, dict[str, Any]]] = [
    (r"/\bdef\b/", {"regex": r"\bdef\b"}),
    ("/a/@after", {"regex": "a", "at": "after"}),
    ('/"""/ @ after', {"regex": '"""', "at": "after"}),
    (r"/a\/b\\/", {"regex": r"a/b\\"}),
    (r'regex("\\/\n", first)', {"regex": "\\/\n", "at": "first"}),
    ('" Paris"', {"tokens": [" Paris"]}),
    ('["b","a"]', {"tokens": ["a", "b"]}),
    (r'"\ud83d\ude42"', {"tokens": ["🙂"]}),
    (":word_start", {"class": "word_start"}),
    ('previous(" in")', {"previous": {"tokens": [" in"]}}),
    ("within( 5 , /a/ )", {"within": {"n": 5, "after": {"regex": "a"}}}),
    ('prefix(" un")', {"prefix": " un"}),
    ('suffix("ing")', {"suffix": "ing"}),
    ("line(0, 3)", {"line": {"first": 0, "last": 3}}),
    ("inside(comment)", {"inside": "comment"}),
    ('!"a"', {"not": {"tokens": ["a"]}}),
    ('any("a")', {"any": [{"tokens": ["a"]}]}),
    (
        '"a" | "b" & !"c"',
        {"any": [{"tokens": ["a"]}, {"all": [{"tokens": ["b"]}, {"not": {"tokens": ["c"]}}]}]},
    ),
    (
        '("a" | "b") & "c"',
        {"all": [{"any": [{"tokens": ["a"]}, {"tokens": ["b"]}]}, {"tokens": ["c"]}]},
    ),
]


@pytest.mark.parametrize(("line", "value"), READ)
def test_a_line_means_its_json(line: str, value: dict[str, Any]) -> None:
    rule = parse(line)
    assert to_value(rule) == value
    assert rule == read(value)
    assert parse(to_text(rule)) == rule


def test_what_was_joined_in_parentheses_stays_apart() -> None:
    line = '("a" | "b") | "c"'
    assert to_text(parse(line)) == line
    assert parse(line) != parse('"a" | "b" | "c"')
    assert to_text(parse('((("a")))')) == '"a"'


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", 'Column 1: expected /regex/, "token"'),
        ("   ", "Column 4: expected"),
        ('"a', "Column 1: expected a string in double quotes"),
        ('"a" "b"', 'Column 5: expected & or | or the end, found "\\"b\\""'),
        ('"a" &', "Column 6: expected /regex/"),
        ('("a"', "Column 5: expected ), found the end"),
        ("/abc", "Column 1: expected a regex between slashes"),
        ("/(/", 'Column 1: regex: the regex "(" cannot be used'),
        ("/a/@end", 'at: expected one of match, first, last, after, got "end"'),
        ('["a",]', "Column 6: expected a string"),
        ("foo", "Column 1: expected /regex/"),
        ("foo(1)", "Column 1: there is no foo(...); there are previous(...), within(...)"),
        ('"a" & prev("=")', "Column 7: there is no prev(...); there are"),
        ('prev("=")', "Did you mean previous(...)?"),
        ("Prefx('a')", "Did you mean prefix(...)?"),
        (":number", "Column 1: there is no class :number; there are :digit, :upper"),
        (":number", "Did you mean :digit?"),
        (":Digits & !:space", "Did you mean :digit?"),
        (":wordstart", "Did you mean :word_start?"),
        ("/a/b/", r"(a slash within /.../ is written \/), found "),
        ('  within(0, "a")', "Column 3: within.n: expected a whole number from 1 to 500, got 0"),
        ('within(5 "a")', "Column 10: expected ,"),
        ("inside(words)", "quotes, brackets, comment"),
        (r'"\ud800"', "half of a surrogate pair"),
        (r'"\x"', "Column 1: expected a JSON string"),
        ("(" * 5000, "deep"),
        ("!" * 5000 + '"a"', "deep"),
        ("!" * 20 + '"a"', "at most 12 deep"),
        (" | ".join(['"a"'] * 70), "at most 64 rules"),
        ('"' + "a" * 40_000 + '"', "at most 32,768 characters"),
    ],
)
def test_what_cannot_be_read_says_where_and_what_was_expected(line: str, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(line)
    assert words in refused.value.message


@pytest.mark.parametrize("line", ["/a/ b", '/a/ "b" & /c', '"a" b/', ":x", "qqq(1)"])
def test_hints_stand_only_where_they_fit(line: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(line)
    is_cut = line.startswith("/") and "/" in line[3:]
    assert ("slash" in refused.value.message) == is_cut
    assert "Did you mean" not in refused.value.message
