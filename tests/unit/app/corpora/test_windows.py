"""The strings of tokens: they join to the text, and a character is whole in one of them."""

from hypothesis import given
from hypothesis import strategies as st

from app.corpora.windows import text_of, token_strings
from app.models import TokenWindow


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, list[int], dict[int, str]]:
    """A text, starts of tokens that cover it, some of them put in."""
    text = draw(st.text(max_size=30))
    place = st.integers(0, max(len(text) - 1, 0))
    starts = sorted([0, *draw(st.lists(place, max_size=30))])
    put_in = draw(st.sets(st.integers(0, len(starts) - 1), max_size=len(starts) - 1))
    return text, starts, dict.fromkeys(put_in, "<bos>")


@given(windows())
def test_counted_tokens_join_to_the_text(window: tuple[str, list[int], dict[int, str]]) -> None:
    text, starts, put_in = window
    strings = token_strings(text, starts, put_in)
    assert len(strings) == len(starts)
    assert "".join(s for pos, s in enumerate(strings) if pos not in put_in) == text
    assert all(strings[pos] == "<bos>" for pos in put_in)


def test_a_character_of_several_tokens_is_whole_in_the_first() -> None:
    assert token_strings("a🙂b", [0, 1, 1, 1, 1, 2], {}) == ["a", "🙂", "", "", "", "b"]


def test_a_character_at_either_end_is_whole_too() -> None:
    assert token_strings("🙂x🙂", [0, 0, 1, 2, 2], {}) == ["🙂", "", "x", "🙂", ""]


def test_put_in_tokens_between_documents_take_no_character() -> None:
    strings = token_strings("abcd", [0, 0, 2, 2, 3], {0: "<bos>", 2: "<bos>"})
    assert strings == ["<bos>", "ab", "<bos>", "c", "d"]


def test_text_before_the_first_counted_token_is_not_lost() -> None:
    assert token_strings("  ab", [2, 3], {}) == ["  a", "b"]


def test_a_lone_surrogate_is_shown_as_one_character() -> None:
    stored = "a\ud800b".encode("utf-8", errors="surrogatepass")
    assert text_of(TokenWindow(text=stored)) == "a\ufffdb"


def test_null_and_markup_stay_as_they_are() -> None:
    assert text_of(TokenWindow(text=b"\x00</script>")) == "\x00</script>"
