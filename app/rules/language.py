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

`read` takes what comes from outside and bounds it. Two rules are equal where their canonical JSON
(`to_json`) is; tokens are a set, so they are sorted.
"""

import json
import re
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from app.errors import InvalidInput
from app.rules.patterns import MAX_PATTERN, problem_of

MAX_DEPTH = 12
MAX_RULES = 64
MAX_TOKENS = 256
MAX_TOKEN = 256  # characters
MAX_WITHIN = 500  # tokens
MAX_LINE = 4000  # tokens
MAX_BYTES = 32_768

At = Literal["match", "first", "last", "after"]
ClassName = Literal["digit", "upper", "punctuation", "newline", "space", "word_start"]
InsideName = Literal["quotes", "brackets", "comment"]
_SURROGATE = re.compile("[\ud800-\udfff]")


class Rule(BaseModel):
    """What all rules are; made by `read` or from values that are known to be good."""

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

    name: ClassName = Field(alias="class")


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

    inside: InsideName


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


def read(value: object) -> AnyRule:
    """The rule that decoded JSON says. Raises InvalidInput that names the part and the remedy."""
    if isinstance(value, get_args(AnyRule)):
        rule: AnyRule = value
        return rule
    return _Reader().rule(value, "rule", 1)


RuleInput = Annotated[AnyRule, BeforeValidator(read)]
"""For the schema of a request: documented as a rule, read by `read`."""


def read_json(text: str | bytes) -> AnyRule:
    """The rule that JSON says, as `read`."""
    if len(text) > MAX_BYTES:
        raise InvalidInput(f"A rule has at most {MAX_BYTES:,} bytes; this one has {len(text):,}.")
    try:
        return read(json.loads(text))
    except RecursionError:
        raise InvalidInput(_too_deep("rule")) from None
    except ValueError as error:
        raise InvalidInput(f"The rule is no JSON: {error}.") from error


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
            raise InvalidInput(_too_deep("rule"))
        if n_rules > MAX_RULES:
            raise InvalidInput(_too_many())
        level = [part for each in level for part in parts_of(each)]


class _Reader:
    """Reads one rule, counting what it is made of."""

    def __init__(self) -> None:
        self._n_rules = 0

    def rule(self, value: object, path: str, depth: int) -> AnyRule:
        if depth > MAX_DEPTH:
            raise InvalidInput(_too_deep(path))
        self._n_rules += 1
        if self._n_rules > MAX_RULES:
            raise InvalidInput(_too_many())
        fields = _object(value, path)
        kind = _kind(fields, path)
        given, inner = fields[kind], f"{path}.{kind}"
        if kind in ("previous", "not", "any", "all", "within"):
            return self._made_of(kind, given, inner, depth + 1)
        return _leaf(kind, given, inner, fields)

    def _made_of(self, kind: str, given: object, path: str, depth: int) -> AnyRule:
        if kind == "previous":
            return Previous(previous=self.rule(given, path, depth))
        if kind == "not":
            return Not(part=self.rule(given, path, depth))
        if kind == "within":
            near = _object(given, path)
            _only(near, {"n", "after"}, path)
            n = _integer(near["n"], f"{path}.n", 1, MAX_WITHIN)
            return Within(within=Near(n=n, after=self.rule(near["after"], f"{path}.after", depth)))
        listed = _list(given, path, MAX_RULES, "rules")
        parts = tuple(self.rule(part, f"{path}[{i}]", depth) for i, part in enumerate(listed))
        return AnyOf(parts=parts) if kind == "any" else AllOf(parts=parts)


def _kind(fields: dict[str, object], path: str) -> str:
    kinds = [key for key in fields if key in KINDS]
    if len(kinds) != 1:
        got = ", ".join(_shown(key) for key in list(fields)[:5]) or "none"
        raise InvalidInput(
            f"{path}: a rule has exactly one of the keys {', '.join(KINDS)}; this one has {got}. "
            'Join several rules by {"all": [...]} or {"any": [...]}.'
        )
    _only(fields, {kinds[0], "at"} if kinds[0] == "regex" else {kinds[0]}, path, {"at"})
    return kinds[0]


def _leaf(kind: str, given: object, path: str, fields: dict[str, object]) -> AnyRule:
    match kind:
        case "regex":
            at = _choice(fields.get("at", "match"), f"{path[: -len('regex')]}at", At)
            return Regex(regex=_pattern(given, path), at=at)
        case "tokens":
            listed = _list(given, path, MAX_TOKENS, "tokens")
            texts = [_token(token, f"{path}[{i}]") for i, token in enumerate(listed)]
            return Tokens(tokens=tuple(texts))
        case "class":
            return Class(name=_choice(given, path, ClassName))
        case "inside":
            return Inside(inside=_choice(given, path, InsideName))
        case "prefix":
            return Prefix(prefix=_token(given, path))
        case "suffix":
            return Suffix(suffix=_token(given, path))
        case _:
            return Line(line=_places(given, path))


def _places(given: object, path: str) -> Places:
    places = _object(given, path)
    _only(places, {"first", "last"}, path)
    first = _integer(places["first"], f"{path}.first", 0, MAX_LINE)
    last = _integer(places["last"], f"{path}.last", 0, MAX_LINE)
    if first > last:
        raise InvalidInput(
            f"{path}: no place is from {first} to {last}. Swap first and last: both are included."
        )
    return Places(first=first, last=last)


def _pattern(given: object, path: str) -> str:
    pattern = _string(given, path, MAX_PATTERN)
    if problem := problem_of(pattern):
        raise InvalidInput(f"{path}: the regex {_shown(pattern)} cannot be used: {problem}")
    return pattern


def _token(given: object, path: str) -> str:
    return _string(given, path, MAX_TOKEN)


def _string(given: object, path: str, longest: int) -> str:
    if not isinstance(given, str):
        raise InvalidInput(f"{path}: expected a string, got {_shown(given)}.")
    if not 0 < len(given) <= longest:
        raise InvalidInput(f"{path}: expected 1 to {longest} characters, got {len(given):,}.")
    if "\0" in given:
        raise InvalidInput(f"{path}: it holds a NUL character. Write it as \\x00.")
    if found := _SURROGATE.search(given):
        raise InvalidInput(
            f"{path}: character {found.start() + 1} is half of a surrogate pair, which no text "
            "holds. Write the whole character."
        )
    return given


def _integer(given: object, path: str, least: int, greatest: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= greatest:
        raise InvalidInput(
            f"{path}: expected a whole number from {least} to {greatest}, got {_shown(given)}."
        )
    return given


def _choice(given: object, path: str, names: Any) -> Any:
    if not isinstance(given, str) or given not in get_args(names):
        raise InvalidInput(
            f"{path}: expected one of {', '.join(get_args(names))}, got {_shown(given)}."
        )
    return given


def _list(given: object, path: str, longest: int, what: str) -> list[object]:
    if not isinstance(given, list):
        raise InvalidInput(f"{path}: expected a list of {what}, got {_shown(given)}.")
    if not 0 < len(given) <= longest:
        raise InvalidInput(f"{path}: expected 1 to {longest} {what}, got {len(given):,}.")
    return given


def _object(given: object, path: str) -> dict[str, object]:
    if not isinstance(given, dict):
        raise InvalidInput(f"{path}: expected a JSON object, got {_shown(given)}.")
    return given


def _only(
    fields: dict[str, object], known: set[str], path: str, optional: set[str] | None = None
) -> None:
    for key in fields:
        if key not in known:
            raise InvalidInput(
                f"{path}: the key {_shown(key)} is not known here. "
                f"Known: {', '.join(sorted(known))}."
            )
    for key in sorted(known - fields.keys() - (optional or set())):
        raise InvalidInput(f"{path}: the key {key} is missing.")


def _shown(value: object) -> str:
    """A short look at a value from outside, in printable characters."""
    if isinstance(value, dict | list):
        return f"a {'list' if isinstance(value, list) else 'JSON object'} of {len(value):,}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**20:
        return "a number of more than 20 digits"
    try:
        shown = json.dumps(value if not isinstance(value, str) else value[:80])
    except (TypeError, ValueError):
        return f"a {type(value).__name__}"
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


def _too_deep(path: str) -> str:
    return (
        f"{path[:200]}: rules are nested at most {MAX_DEPTH} deep. Say it with fewer levels, for "
        "example as one regex."
    )


def _too_many() -> str:
    return (
        f"A rule is made of at most {MAX_RULES} rules. Say it with fewer, for example several "
        "tokens as one list."
    )
