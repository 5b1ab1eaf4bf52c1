"""Reading rules from decoded JSON: checked from end to end, bounded, refused in words.

Every message names the part (`rule.any[1].within.n`), what was there, and what may be.
"""

import json
import re
from typing import Any, get_args

from app.errors import InvalidInput
from app.rules.language import (
    KINDS,
    MAX_DEPTH,
    MAX_LINE,
    MAX_RULES,
    MAX_TOKEN,
    MAX_TOKENS,
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
    too_deep,
    too_many,
)
from app.rules.patterns import MAX_PATTERN, problem_of

MAX_BYTES = 32_768
_SURROGATE = re.compile("[\ud800-\udfff]")


def read(value: object) -> AnyRule:
    """The rule that decoded JSON says. Raises InvalidInput that names the part and the remedy."""
    if isinstance(value, get_args(AnyRule)):
        rule: AnyRule = value
        return rule
    return _Reader().rule(value, "rule", 1)


def read_json(text: str | bytes) -> AnyRule:
    """The rule that JSON says, as `read`."""
    if len(text) > MAX_BYTES:
        raise InvalidInput(f"A rule has at most {MAX_BYTES:,} bytes; this one has {len(text):,}.")
    try:
        return read(json.loads(text))
    except RecursionError:
        raise InvalidInput(too_deep("rule")) from None
    except ValueError as error:
        raise InvalidInput(f"The rule is no JSON: {error}.") from error


class _Reader:
    """Reads one rule, counting what it is made of."""

    def __init__(self) -> None:
        self._n_rules = 0

    def rule(self, value: object, path: str, depth: int) -> AnyRule:
        if depth > MAX_DEPTH:
            raise InvalidInput(too_deep(path))
        self._n_rules += 1
        if self._n_rules > MAX_RULES:
            raise InvalidInput(too_many())
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
        raise InvalidInput(f"{path}: expected 1 to {longest:,} characters, got {len(given):,}.")
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
