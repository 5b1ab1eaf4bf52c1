"""Rules over texts that databases really hold: cut characters, broken text, put-in tokens."""

import random
import time

import numpy as np
import pytest

from app.errors import InvalidInput
from app.rules import patterns
from app.rules.atlas_text import AtlasText, WindowParts, build
from app.rules.evaluation import evaluate
from app.rules.text import parse
from app.rules.vocabulary import Vocabulary
from tests.naive_rules import BOS, NaiveWindow, cut, stored


def matched(line: str, *windows: NaiveWindow) -> list[int]:
    return evaluate(parse(line), stored(list(windows))).tolist()


def of_words(*lines: str) -> list[NaiveWindow]:
    """Windows whose tokens are single characters, a BOS before them."""
    return [cut(0, line, list(range(len(line.encode()))), [0]) for line in lines]


def inside(name: str, line: str) -> str:
    """The characters inside, others as dots."""
    found = set(matched(f"inside({name})", *of_words(line)))
    return "".join(char if i in found else "." for i, char in enumerate(line))


def test_all_tokens_that_hold_a_part_of_a_matched_character_match() -> None:
    window = cut(0, "a é🙂 b", [2, 3, 5, 6, 9], [0])  # "a ", "\xc3", "\xa9\xf0", "\x9f", …
    assert matched("/é/", window) == [1, 2]
    assert matched("/🙂/", window) == [2, 3, 4]
    assert matched("/é/@after", window) == [3], "the first that begins where é ends or later"
    spilling = cut(0, "a é b", [3], [])  # "a \xc3", "\xa9 b"
    assert matched("/é/", spilling) == [0, 1]
    assert matched("/a /", spilling) == [0]


def test_text_that_looks_like_an_escape_holds_no_part_of_the_next_character() -> None:
    window = cut(0, r"\xc3é", [4], [])
    assert matched("/é/", window) == [1]


def test_matches_do_not_cross_windows_and_edges_are_edges_of_text() -> None:
    windows = of_words("ab", "ab")
    assert matched("/ba/", *windows) == []
    assert matched("/^a/", *windows) == [0, 2]
    assert matched("/b$/", *windows) == [1, 3]
    assert matched(r"/\ba/", *windows) == [0, 2]
    assert matched('previous("b")', *windows) == []
    assert matched('within(500, "b")', *windows) == []
    assert matched(r"/\z/@after", *windows) == []
    assert matched("/^/@after", *windows) == [0, 2]


def test_put_in_tokens_are_context_and_never_match() -> None:
    windows = [cut(0, "abc", [1, 2], [0, 2])]
    assert matched(f'previous("{BOS}")', *windows) == [0, 2]
    assert matched(f'"{BOS}"', *windows) == []
    assert matched('!"a"', *windows) == [1, 2]
    assert matched("/b/@after", *windows) == [2], "the next token that has text"
    assert matched("line(0, 0)", *windows) == [0, 2]


def test_empty_matches_count_only_for_what_follows() -> None:
    windows = of_words("baa")
    assert matched("/x*/", *windows) == []
    assert matched("/x*/@first", *windows) == []
    assert matched("/x*/@after", *windows) == [0, 1, 2]


def test_a_file_without_any_text_matches_nothing() -> None:
    for line in ("/a/", '"a"', ":digit", "line(0, 3)", "inside(quotes)", 'previous("a")', '!"a"'):
        assert matched(line) == []
        assert matched(line, cut(0, "", [], [0])) == []


@pytest.mark.parametrize("text", [b"a\xed\xa0\xbdb", b"a\xff\xfeb", b"\xc3"])
def test_text_that_is_no_utf8_is_searched_with_replacement_characters(text: bytes) -> None:
    chars = text.decode("utf-8", errors="replace") if b"\xed" not in text else "a\ufffdb"
    starts = np.arange(len(chars), dtype="<u4").tobytes()
    ids = np.zeros(len(chars), dtype="<u4").tobytes()
    vocabulary = Vocabulary(["t"], np.array([False]))
    found = build(vocabulary, [WindowParts(0, ids, starts, text, [])])
    at = [i for i, char in enumerate(chars) if char == "\ufffd"]
    assert evaluate(parse(r"/\x{fffd}/"), found).tolist() == at
    assert len(evaluate(parse("/./"), found)) == len(chars)


def test_ids_beyond_the_vocabulary_are_tokens_without_a_class() -> None:
    ids = np.array([0, 7], dtype="<u4").tobytes()
    starts = np.array([0, 1], dtype="<u4").tobytes()
    vocabulary = Vocabulary(["a"], np.array([False]))
    text = build(vocabulary, [WindowParts(0, ids, starts, b"ab", [])])
    assert evaluate(parse('"<7>"'), text).tolist() == [1]
    assert evaluate(parse(":punctuation"), text).tolist() == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('x = "a b" + c', '.....a b"....'),
        ("x = 'it' + f'{a}'", ".....it'.....{a}'"),
        ("we don't say 'yes'", "..............yes'"),
        (r'"a\"b" c', r'.a\"b"..'),
        ('"open\nnext', ".open\n...."),
        ('"""a "b" c""" d', '.""a "b" c"""..'),
        ("# 'no' string\n'yes'", "...............yes'"),
    ],
)
def test_quotes_are_open_until_they_are_closed_or_the_line_ends(line: str, expected: str) -> None:
    assert inside("quotes", line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x # y\nz", "... y.."),
        ("x = '# no' # yes", "............ yes"),
        ("a // b; // c", "........./ c"),
        ("// x\ny", "./ x.."),
        ("a://x.yz", "........"),
        ("a /* b\n */ c", "...* b\n */.."),
        ("<!-- a --> b", ".!-- a -->.."),
        ("x#y", "..."),
    ],
)
def test_comments_are_open_to_the_lines_end_or_their_sign(line: str, expected: str) -> None:
    assert inside("comment", line) == expected


def test_brackets_nest_and_a_closing_one_too_many_closes_nothing() -> None:
    assert inside("brackets", ")a(b[c]d)e(") == "...b[c]d).."
    lines = ["(a"] * 2000 + ["b"]
    found = evaluate(parse("inside(brackets)"), stored(of_words(*lines)))
    assert found.tolist() == list(range(1, 4000, 2)), "windows know nothing of one another"


def test_one_time_limit_holds_for_all_regexes_of_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "MAX_SECONDS", 0.2)
    letters = random.Random(0)
    lines = ["".join(letters.choices("abcdefghij \n", k=500)) for _ in range(300)]
    text = stored([cut(0, line, [], []) for line in lines])
    slow = r"/(?s:.)(?:(?s:.*)[a-e](?s:.){300}\x{10ffff})?/"
    begun = time.thread_time()
    with pytest.raises(InvalidInput, match=r"takes too long: a rule has 0\.2 s"):
        evaluate(parse(" | ".join([slow, slow.replace("300", "299")])), text)
    assert time.thread_time() - begun < 2


def test_a_long_text_is_searched_in_pieces_that_fit_together() -> None:
    lines = [f"é{i} x" for i in range(3000)]
    windows = [cut(i, line, [2], []) for i, line in enumerate(lines)]
    text: AtlasText = stored(windows)
    expected = [2 * i + 1 for i, line in enumerate(lines) if "7" in line]
    assert evaluate(parse("/7/@last"), text).tolist() == expected
