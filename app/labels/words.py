"""Rules in plain words, as labels show them and full-text search finds them.

`the token " def"`, `after " import"`, `a digit`, `inside brackets`, `tokens that end in "ing"`.
Texts are quoted as in the one-line form (app.rules.text).
"""

import json
from collections.abc import Sequence

from app.rules.language import (
    MAX_LINE,
    AllOf,
    AnyOf,
    AnyRule,
    Class,
    Inside,
    Line,
    Not,
    Places,
    Prefix,
    Previous,
    Regex,
    Suffix,
    Tokens,
    Within,
)

CLASSES = {
    "digit": "a digit",
    "upper": "a capital letter",
    "punctuation": "punctuation",
    "newline": "a newline",
    "space": "blank space",
    "word_start": "the start of a word",
}
INSIDES = {"quotes": "inside quotes", "brackets": "inside brackets", "comment": "inside a comment"}
MATCHES = {
    "match": "a match of",
    "first": "the first token of a match of",
    "last": "the last token of a match of",
    "after": "right after a match of",
}


def describe(rule: AnyRule) -> str:
    """The tokens where the rule holds, in words."""
    match rule:
        case Previous():
            return f"after {_what(rule.previous)}"
        case Within():
            return f"at most {rule.within.n} tokens after {_what(rule.within.after)}"
        case AnyOf():
            return _joined(rule.parts, " or ")
        case AllOf():
            return _joined(rule.parts, " and ")
        case Not():
            return f"not {_in_parentheses(rule.part)}"
        case _:
            return _leaf(rule)


def _leaf(rule: AnyRule) -> str:
    match rule:
        case Tokens():
            name = "the token" if len(rule.tokens) == 1 else "one of the tokens"
            return f"{name} {_listed(rule)}"
        case Class():
            return CLASSES[rule.name]
        case Prefix():
            return f"tokens that begin with {_quoted(rule.prefix)}"
        case Suffix():
            return f"tokens that end in {_quoted(rule.suffix)}"
        case Line():
            return _places(rule.line)
        case Inside():
            return INSIDES[rule.inside]
        case Regex():
            return f"{MATCHES[rule.at]} {_quoted(rule.regex)}"
    raise TypeError(f"{type(rule).__name__} is made of other rules")


def _what(rule: AnyRule) -> str:
    """What comes before: a token by its text alone."""
    return _listed(rule) if isinstance(rule, Tokens) else _in_parentheses(rule)


def _listed(rule: Tokens) -> str:
    return ", ".join(map(_quoted, rule.tokens))


def _places(places: Places) -> str:
    """Counted from 1, as people count."""
    first, last = places.first + 1, places.last + 1
    if places.last >= MAX_LINE:
        return f"from token {first} of a line on"
    if first == last:
        return "the first token of a line" if first == 1 else f"token {first} of a line"
    return f"tokens {first} to {last} of a line"


def _joined(parts: Sequence[AnyRule], word: str) -> str:
    return word.join(map(_in_parentheses, parts))


def _in_parentheses(rule: AnyRule) -> str:
    is_joined = isinstance(rule, AnyOf | AllOf) and len(rule.parts) > 1
    return f"({describe(rule)})" if is_joined else describe(rule)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())
