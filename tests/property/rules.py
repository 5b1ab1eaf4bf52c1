"""Strategies: rules of every kind, and windows of byte-level tokens."""

from typing import get_args

from hypothesis import strategies as st

from app.rules.language import (
    MAX_WITHIN,
    AllOf,
    AnyOf,
    AnyRule,
    At,
    Class,
    ClassName,
    Inside,
    InsideName,
    Line,
    Near,
    Not,
    Places,
    Prefix,
    Previous,
    Regex,
    Suffix,
    Tokens,
    Within,
)
from tests.naive_rules import cut
from tests.property.texts import AWKWARD, characters

# Patterns that mean the same to RE2 and, in ASCII mode, to Python's re.
PATTERNS = [
    r"\bdef\b", "[a-z]+", "é", ".", "(?s:.)", r"\d", r"\w", "a|b", "東.", r"(?m:^)x", r"\w+",
    "[^a-z]", "🙂|ab?", "a*", r"\b", "^", r"\z", r" \w", "a/b", r"\/", "\n", r"(?i)DEF", "[é東]",
    r"\s", "(a*)*b", ".{3}", r"^.", r".\z", "\\\\",
]  # fmt: skip
PIECES = [
    " ", "a", "b", "é", "東京", "🙂", "\n", "def", "x", "7", " in", "(", "A", "_", "\0", "á",
]  # fmt: skip

strings = st.one_of(
    st.sampled_from([*PIECES[:-2], *AWKWARD, "\\xe6", "\\x9d", "<bos>"]),
    st.text(characters, min_size=1, max_size=4),
).filter(lambda text: "\0" not in text)
names = st.sampled_from(get_args(ClassName))
regexes = st.builds(Regex, regex=st.sampled_from(PATTERNS), at=st.sampled_from(get_args(At)))
places = st.tuples(st.integers(0, 5), st.integers(0, 5)).map(sorted)
leaves = st.one_of(
    regexes,
    st.builds(Tokens, tokens=st.lists(strings, min_size=1, max_size=3).map(tuple)),
    names.map(lambda name: Class(name=name)),
    st.builds(Prefix, prefix=strings),
    st.builds(Suffix, suffix=strings),
    places.map(lambda two: Line(line=Places(first=two[0], last=two[1]))),
)
insides = st.builds(Inside, inside=st.sampled_from(get_args(InsideName)))


def made_of(inner: st.SearchStrategy[AnyRule]) -> st.SearchStrategy[AnyRule]:
    several = st.lists(inner, min_size=1, max_size=3).map(tuple)
    near = st.builds(Near, n=st.integers(1, 4) | st.just(MAX_WITHIN), after=inner)
    return st.one_of(
        inner.map(lambda part: Not(part=part)),
        st.builds(Previous, previous=inner),
        st.builds(Within, within=near),
        several.map(lambda parts: AnyOf(parts=parts)),
        several.map(lambda parts: AllOf(parts=parts)),
    )


rules = st.recursive(leaves, made_of, max_leaves=6)
all_rules = st.recursive(st.one_of(leaves, insides), made_of, max_leaves=8)
window_texts = st.lists(st.sampled_from(PIECES), max_size=10).map("".join)
windows = st.lists(
    st.builds(
        cut,
        st.integers(0, 3),
        window_texts,
        st.lists(st.integers(0, 40), max_size=20),
        st.lists(st.integers(0, 4), max_size=2),
    ),
    max_size=4,
)
