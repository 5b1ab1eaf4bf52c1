"""Rules: what is said of a text, at which of its tokens. Read from JSON, frozen, hashable.

A rule holds or does not hold at each token of a token window. Its JSON is an object with one key
(a regex may have `at` beside it):

  {"regex": "\\\\bdef\\\\b", "at": "match"}   RE2 on the window's text (app.rules.patterns). `at`:
                        `match` every token that overlaps a match, `first` and `last` of them, or
                        `after`: the first token that begins where the match ends or later
  {"tokens": [" Paris"]}    the token is one of these, as the API shows them
  {"class": "digit"}        digit, upper, punctuation, newline, space, word_start
                            (app.rules.vocabulary, app.rules.evaluation)
  {"prefix": " un"}, {"suffix": "ing"}      how the token's text begins or ends
  {"line": {"first": 0, "last": 3}}         the token's place since the last newline, from 0
  {"inside": "quotes"}      quotes, brackets, comment: opened before the token, not yet closed
  {"previous": R}           R holds at the token before
  {"within": {"n": 5, "after": R}}          R holds at one of the n tokens before
  {"any": [R, ...]}, {"all": [R, ...]}, {"not": R}

app.rules.reading takes what comes from outside and bounds it. Two rules are equal where their
canonical JSON (`to_json`) is; tokens are a set, so they are sorted.
"""

import json
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.errors import InvalidInput
from app.rules.patterns import MAX_PATTERN

MAX_DEPTH = 12
MAX_RULES = 64
MAX_TOKENS = 256
MAX_TOKEN = 256  # characters
MAX_WITHIN = 500  # tokens
MAX_LINE = 4000  # tokens

At = Literal["match", "first", "last", "after"]
ClassName = Literal["digit", "upper", "punctuation", "newline", "space", "word_start"]
InsideName = Literal["quotes", "brackets", "comment"]

CLASSES: dict[ClassName, str] = {
    "digit": "decimal digits only, blanks around them aside",
    "upper": "begins with a capital letter, blanks before it aside",
    "punctuation": "punctuation or symbols only, blanks around them aside",
    "newline": "has a line feed or a carriage return in it",
    "space": "blanks only; newlines are blanks",
    "word_start": "begins a word: blanks and then a letter, digit or _; or such a character at "
    "once, where the token before does not end in one",
}
"""What the text of a class's tokens is; special tokens are of none. Computed by
app.rules.vocabulary and app.rules.evaluation."""
INSIDES: dict[InsideName, str] = {
    "quotes": "after an opening \", ' or ` on the same line, or after a triple one on any; what a "
    "backslash spares, and an apostrophe within a word, opens and closes nothing",
    "brackets": "after a (, [ or { that no closing one has met; those in quotes count as well",
    "comment": "to the end of the line after a # that is first in it or follows a blank, or a // "
    "that is first or follows one of ; { } , ) and within /* */ and <!-- -->; not those in quotes",
}
"""What each is inside of (app.rules.insides)."""
ABOUT_INSIDE = (
    "The token that opens is outside, the one that closes is inside. Only the token window counts: "
    "where it starts in mid-string, the string is not known to be open, and its closing quote is "
    "taken for an opening one."
)


def _listed(about: dict[Any, str]) -> str:
    return "; ".join(f"`{name}`: {words}" for name, words in about.items())


class Rule(BaseModel):
    """What all rules are; made by app.rules.reading or from values that are known to be good."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Regex(Rule):
    """Where a pattern matches the window's text."""

    regex: str = Field(max_length=MAX_PATTERN)
    at: At = "match"


class Tokens(Rule):
    """Tokens by their texts."""

    tokens: tuple[str, ...] = Field(min_length=1, max_length=MAX_TOKENS)

    @field_validator("tokens")
    @classmethod
    def _is_a_set(cls, tokens: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(tokens)))


class Class(Rule):
    """Tokens of a kind."""

    name: ClassName = Field(
        alias="class", description=f"What the token's text is. {_listed(CLASSES)}."
    )


class Prefix(Rule):
    """Tokens whose text begins so."""

    prefix: str


class Suffix(Rule):
    """Tokens whose text ends so."""

    suffix: str


class Places(BaseModel):
    """Places in a line, both ends included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int = Field(ge=0, le=MAX_LINE)
    last: int = Field(ge=0, le=MAX_LINE)


class Line(Rule):
    """Tokens by their place in the line."""

    line: Places


class Inside(Rule):
    """Tokens inside what was opened and not yet closed."""

    inside: InsideName = Field(description=f"{_listed(INSIDES)}. {ABOUT_INSIDE}")


class Previous(Rule):
    """Tokens after one where a rule holds."""

    previous: "AnyRule"


class Near(BaseModel):
    """How far after what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(ge=1, le=MAX_WITHIN)
    after: "AnyRule"


class Within(Rule):
    """Tokens at most `n` after one where a rule holds."""

    within: Near


class AnyOf(Rule):
    """Tokens where at least one rule holds."""

    parts: tuple["AnyRule", ...] = Field(alias="any", min_length=1)


class AllOf(Rule):
    """Tokens where every rule holds."""

    parts: tuple["AnyRule", ...] = Field(alias="all", min_length=1)


class Not(Rule):
    """Tokens where a rule does not hold."""

    part: "AnyRule" = Field(alias="not")


AnyRule: TypeAlias = (
    Regex
    | Tokens
    | Class
    | Prefix
    | Suffix
    | Line
    | Inside
    | Previous
    | Within
    | AnyOf
    | AllOf
    | Not
)
for _model in (Previous, Near, Within, AnyOf, AllOf, Not):
    _model.model_rebuild()

KINDS = (
    "regex", "tokens", "class", "prefix", "suffix", "line", "inside", "previous", "within", "any",
    "all", "not",
)  # fmt: skip


def to_json(rule: AnyRule) -> str:
    """The canonical JSON: equal for equal rules and for no others."""
    values = to_value(rule)
    return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def to_value(rule: AnyRule) -> dict[str, Any]:
    """The rule as JSON values; what is by default is left out."""
    return rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def parts_of(rule: AnyRule) -> tuple[AnyRule, ...]:
    """The rules that this one is made of."""
    match rule:
        case AnyOf() | AllOf():
            return rule.parts
        case Not():
            return (rule.part,)
        case Previous():
            return (rule.previous,)
        case Within():
            return (rule.within.after,)
        case _:
            return ()


def check_size(rule: AnyRule) -> None:
    """Raises InvalidInput where a rule is made of too many others, or too deep."""
    level, depth, n_rules = [rule], 0, 0
    while level:
        depth, n_rules = depth + 1, n_rules + len(level)
        if depth > MAX_DEPTH:
            raise InvalidInput(too_deep("rule"))
        if n_rules > MAX_RULES:
            raise InvalidInput(too_many())
        level = [part for each in level for part in parts_of(each)]


def too_deep(path: str) -> str:
    """The message for rules within rules within rules."""
    return (
        f"{path[:200]}: rules are nested at most {MAX_DEPTH} deep. Say it with fewer levels, for "
        "example as one regex."
    )


def too_many() -> str:
    """The message for a rule of too many."""
    return (
        f"A rule is made of at most {MAX_RULES} rules. Say it with fewer, for example several "
        "tokens as one list."
    )
