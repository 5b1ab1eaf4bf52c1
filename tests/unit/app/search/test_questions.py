"""What was typed is understood in one way, and what pages offer to type means what they say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.search.questions import (
    Question,
    label_query,
    logit_query,
    misread_rule,
    parse_question,
    signs_of,
    token_query,
)


@given(st.text())
def test_a_token_offered_is_understood_as_that_token(token: str) -> None:
    assert parse_question(token_query(token)) == Question("token", token)
    assert parse_question(logit_query(token)) == Question("logit", token)


@given(st.text(min_size=1).filter(str.strip))
def test_words_offered_are_understood_as_words_of_labels(words: str) -> None:
    assert parse_question(label_query(words)) == Question("label", words.strip())


@given(st.text())
def test_any_input_is_understood(q: str) -> None:
    assert parse_question(q).kind in ("nothing", "address", "token", "logit", "label", "rule")


@pytest.mark.parametrize(
    ("q", "kind", "text"),
    [
        ("", "nothing", ""),
        ("  \n", "nothing", ""),
        ("mlp-2/417", "address", "mlp-2/417"),
        (" demo/mlp-2/417 ", "address", "demo/mlp-2/417"),
        ('"mlp-2/417"', "token", "mlp-2/417"),
        ('" Paris"', "token", " Paris"),
        ("“ Paris”", "token", " Paris"),
        ("Paris ", "token", "Paris"),
        ('"\\n\\t"', "token", "\n\t"),
        ("logit: Paris", "logit", "Paris"),
        ('LOGIT:" Paris"', "logit", " Paris"),
        ("label: after import", "label", "after import"),
        ('"label: x"', "token", "label: x"),
        ('"', "token", '"'),
        ('"""', "token", '"""'),
        ('logit: """', "logit", '"""'),
        ('"""""', "token", '"""'),
        (r"/\bdef\b/", "rule", r"/\bdef\b/"),
        (r"/\bdef\b/@after", "rule", r"/\bdef\b/@after"),
        ("/unclosed (/", "rule", "/unclosed (/"),
        ("/", "token", "/"),
        ("//", "token", "//"),
        ("/demo/mlp-0/1", "address", "/demo/mlp-0/1"),
        (":digit", "rule", ":digit"),
        (":", "token", ":"),
        (":return", "token", ":return"),
        ("!", "token", "!"),
        ("!=", "token", "!="),
        ("()", "token", "()"),
        ("[", "token", "["),
        ("{", "token", "{"),
        ("a | b", "token", "a | b"),
        ('"a" | "b"', "rule", '"a" | "b"'),
        ('"a"', "token", "a"),
        ('rule: "a"', "rule", '"a"'),
        ("within(5 oops", "rule", "within(5 oops"),
        ('{"class": "digit"}', "rule", '{"class": "digit"}'),
    ],
)
def test_inputs_are_understood(q: str, kind: str, text: str) -> None:
    assert parse_question(q) == Question(kind, text)


@pytest.mark.parametrize(
    ("q", "words"),
    [
        ('prev("=") & :digit', "there is no prev(...)"),
        (" :number", "there is no class :number"),
        (":Upper & previous(:x)", "there is no class :Upper"),
        ('"a" & :x', "there is no class :x"),
        ('!foo("a")', "there is no foo(...)"),
        ('"a" | b', "Column 7: expected"),
        ("startswith(:digit)", "Did you mean prefix(...)?"),
    ],
)
def test_what_has_the_look_of_a_rule_is_told_what_is_wrong_with_it(q: str, words: str) -> None:
    assert words in (misread_rule(q) or "")


@pytest.mark.parametrize(
    "q",
    [
        "", ":", "::", "std::vector", "after import", "print(x)", "f(a), b", "note: this", "a & b",
        "a: b", "x != y", "()", '"a"', "what is R&D (again)", ":digit", 'previous("a") & :digit',
    ],
)  # fmt: skip
def test_words_and_rules_are_not_taken_for_misread_rules(q: str) -> None:
    assert misread_rule(q) is None


@pytest.mark.parametrize(
    ("words", "signs"),
    [
        ('after """', ['"""']),
        (r'after " \"\"\""', [' """']),
        (r'after "\n"', ["\n"]),
        ("def( or x != y, x(", ["(", "!="]),
        ('the token "("', ["("]),
        ('"x ="', ["="]),
        ('"as np"(', ["("]),
        ('"', ['"']),
    ],
)
def test_signs_among_words_are_told(words: str, signs: list[str]) -> None:
    assert signs_of(words) == signs


@pytest.mark.parametrize(
    "words", ["", "after import", '"as np"', "import -torch", "don't os.path self-made", "a, b. c?"]
)
def test_what_words_are_written_with_is_no_sign(words: str) -> None:
    assert signs_of(words) == []


@given(st.text(max_size=30))
def test_signs_hold_something_and_no_letters(words: str) -> None:
    assert all(signs_of(words))
    assert not any(char.isalnum() for sign in signs_of(words) for char in sign)
