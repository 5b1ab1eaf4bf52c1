import pytest

from app.errors import InvalidInput
from app.typed_text import clean


def test_unifies_the_ends_of_lines_and_composes() -> None:
    assert clean("  a\r\nb\rc\u2028d\te\u0301 \n", "name", 20) == "a\nb\nc\nd \u00e9"


def test_text_of_one_line_has_no_others() -> None:
    assert clean(" a\r\n\n  b ", "name", 20, is_one_line=True) == "a b"


@pytest.mark.parametrize("text", ["", " \n ", "\u200b", "\u202e\u00a0"])
def test_text_that_nobody_can_see_is_empty(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"The name is empty: wanted 1 to 20"):
        clean(text, "name", 20)


@pytest.mark.parametrize("bad", ["\0", "\x1b", "\x7f", "\x9f", "\ud800"])
def test_refuses_what_the_database_or_a_terminal_cannot_take(bad: str) -> None:
    with pytest.raises(InvalidInput, match=rf"U\+{ord(bad):04X}, after 2 others"):
        clean(f"ab{bad}c", "name", 20)


def test_the_length_is_that_of_what_is_kept() -> None:
    assert clean("e\u0301" * 20, "name", 20) == "\u00e9" * 20
    with pytest.raises(InvalidInput, match=r"has 2,001 characters: wanted at most 2,000"):
        clean("x" * 2001, "name", 2000)
