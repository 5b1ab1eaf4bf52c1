"""The one-line form of rules: `parse` and `to_text`, each other's inverse on every rule.

  rule   = all { "|" all }                     any of them; `|` binds weakest
  all    = unary { "&" unary }                 all of them
  unary  = "!" unary | atom                    not
  atom   = "(" rule ")"
         | /regex/ [ "@first" | "@last" | "@after" ]      blanks may stand before and after the @
         | "token" | [ "token", "token" ]      one token, or one of several
         | :digit | :upper | :punctuation | :newline | :space | :word_start
         | previous(rule) | within(5, rule)    5 tokens at most after the rule's
         | prefix("un") | suffix("ing") | line(0, 3)
         | inside(quotes) | inside(brackets) | inside(comment)
         | any(rule, ...) | all(rule, ...)     the same as with `|` and `&`; also of one rule
         | regex("pattern" [, first])          for patterns that /.../ cannot hold

Strings are JSON strings. Between slashes `\\/` stands for a slash and all else for itself.
Blanks between the parts mean nothing. `to_text` writes the shortest of these forms.
"""

import json
import re
from collections.abc import Callable, Sequence

from app.errors import InvalidInput
from app.rules.language import (
    CLASSES,
    MAX_DEPTH,
    AllOf,
    AnyOf,
    AnyRule,
    Class,
    Inside,
    Line,
    Near,
    Not,
    Prefix,
    Previous,
    Regex,
    Suffix,
    Tokens,
    Within,
    check_size,
)
from app.rules.reading import read
from app.rules.spelling import meant_by

MAX_TEXT = 32_768
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_REGEX = re.compile(r"/((?:[^/\\]|\\.)+)/", re.DOTALL)
_NAME = re.compile(r"[a-z_]+")
_LETTERS = re.compile(r"[A-Za-z_]\w{0,39}")
_NUMBER = re.compile(r"\d{1,18}")
_PAIR = re.compile(r"\\.|/", re.DOTALL)
_BLANKS = re.compile(r"[ \t\r\n]*")
_ATOM = (
    '/regex/, "token", ["token", ...], :digit, previous(...), within(n, ...), prefix("..."), '
    'suffix("..."), line(n, n), inside(...), !, or ('
)


def parse(text: str) -> AnyRule:
    """The rule that a line says. Raises InvalidInput with the column and what was expected."""
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"A rule has at most {MAX_TEXT:,} characters; this has {len(text):,}.")
    parser = _Parser(text)
    rule = parser.any_of(1)
    if not parser.is_at_end():
        raise parser.error(f"& or | or the end{parser.about_slash()}")
    check_size(rule)
    return rule


def to_text(rule: AnyRule) -> str:
    """The rule on one line."""
    match rule:
        case AnyOf():
            return _joined("any", " | ", rule.parts, (AnyOf,))
        case AllOf():
            return _joined("all", " & ", rule.parts, (AnyOf, AllOf))
        case Not():
            return f"!{_within_parentheses(rule.part, (AnyOf, AllOf))}"
        case Previous():
            return f"previous({to_text(rule.previous)})"
        case Within():
            return f"within({rule.within.n}, {to_text(rule.within.after)})"
        case _:
            return _leaf_text(rule)


def _leaf_text(rule: AnyRule) -> str:
    match rule:
        case Regex():
            return _regex_text(rule)
        case Tokens():
            listed = ", ".join(map(_quoted, rule.tokens))
            return listed if len(rule.tokens) == 1 else f"[{listed}]"
        case Class():
            return f":{rule.name}"
        case Prefix():
            return f"prefix({_quoted(rule.prefix)})"
        case Suffix():
            return f"suffix({_quoted(rule.suffix)})"
        case Line():
            return f"line({rule.line.first}, {rule.line.last})"
        case Inside():
            return f"inside({rule.inside})"
    raise TypeError(f"{type(rule).__name__} is made of other rules")


def _joined(
    name: str, sign: str, parts: Sequence[AnyRule], in_parentheses: tuple[type, ...]
) -> str:
    if len(parts) == 1:
        return f"{name}({to_text(parts[0])})"
    return sign.join(_within_parentheses(part, in_parentheses) for part in parts)


def _within_parentheses(rule: AnyRule, which: tuple[type, ...]) -> str:
    """In parentheses where the rule is one of `which`, joined by signs that would be misread."""
    is_joined = isinstance(rule, AnyOf | AllOf) and len(rule.parts) > 1
    return f"({to_text(rule)})" if is_joined and isinstance(rule, which) else to_text(rule)


def _regex_text(rule: Regex) -> str:
    pairs = {found[0] for found in _PAIR.finditer(rule.regex)}
    if rule.regex.isprintable() and "\\/" not in pairs:
        text = f"/{_PAIR.sub(lambda found: found[0].replace('/', chr(92) + '/'), rule.regex)}/"
        return text if rule.at == "match" else f"{text}@{rule.at}"
    after = "" if rule.at == "match" else f", {rule.at}"
    return f"regex({_quoted(rule.regex)}{after})"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())


class _Parser:
    """Reads from `at` on; every method leaves `at` behind what it read."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def any_of(self, depth: int) -> AnyRule:
        parts = self._run("|", self.all_of, depth)
        return parts[0] if len(parts) == 1 else AnyOf(parts=tuple(parts))

    def all_of(self, depth: int) -> AnyRule:
        parts = self._run("&", self.unary, depth)
        return parts[0] if len(parts) == 1 else AllOf(parts=tuple(parts))

    def _run(self, sign: str, part: Callable[[int], AnyRule], depth: int) -> list[AnyRule]:
        parts = [part(depth)]
        while self._takes(sign):
            parts.append(part(depth))
        return parts

    def unary(self, depth: int) -> AnyRule:
        if (
            depth > 2 * MAX_DEPTH
        ):  # parentheses need not mean depth, and check_size has the last word
            raise self.error(f"rules nested at most {MAX_DEPTH} deep, with fewer parentheses,")
        if self._takes("!"):
            return Not(part=self.unary(depth + 1))
        if self._takes("("):
            rule = self.any_of(depth + 1)
            self._expect(")")
            return rule
        return self._leaf() or self._call(depth + 1)

    def _leaf(self) -> AnyRule | None:
        start, next_sign = self._next(), self.text[self.at : self.at + 1]
        if next_sign == "/":
            pattern = self._matched(_REGEX, "a regex between slashes, as /def/")[1:-1]
            pattern = _PAIR.sub(lambda found: "/" if found[0] == "\\/" else found[0], pattern)
            at = self._name("first, last or after") if self._takes("@") else "match"
            return self._read({"regex": pattern, "at": at}, start)
        if next_sign == '"':
            return self._read({"tokens": [self._string()]}, start)
        if self._takes("["):
            tokens = [self._string()]
            while self._takes(","):
                tokens.append(self._string())
            self._expect("]")
            return self._read({"tokens": tokens}, start)
        return self._class(start) if self._takes(":") else None

    def _class(self, start: int) -> AnyRule:
        name = self._matched(_LETTERS, "a class, as :digit")
        if name not in CLASSES:
            raise _unknown(start, f"class :{name}", name, [f":{each}" for each in CLASSES])
        return self._read({"class": name}, start)

    def _call(self, depth: int) -> AnyRule:
        start = self._next()
        name = self._matched(_LETTERS, _ATOM)
        readers: dict[str, Callable[[], AnyRule]] = {
            "previous": lambda: Previous(previous=self.any_of(depth)),
            "within": lambda: self._within(start, depth),
            "prefix": lambda: self._read({"prefix": self._string()}, start),
            "suffix": lambda: self._read({"suffix": self._string()}, start),
            "line": lambda: self._line(start),
            "inside": lambda: self._read({"inside": self._name("quotes or another")}, start),
            "any": lambda: AnyOf(parts=tuple(self._run(",", self.any_of, depth))),
            "all": lambda: AllOf(parts=tuple(self._run(",", self.any_of, depth))),
            "regex": lambda: self._regex(start),
        }
        if name not in readers and self._takes("("):
            raise _unknown(start, f"{name}(...)", name, [f"{each}(...)" for each in readers])
        if name not in readers:
            self.at = start
            raise self.error(_ATOM)
        self._expect("(")
        rule = readers[name]()
        self._expect(")")
        return rule

    def _within(self, start: int, depth: int) -> AnyRule:
        n = self._number()
        self._read({"within": {"n": n, "after": {"class": "digit"}}}, start)  # for n's bounds
        self._expect(",")
        return Within(within=Near(n=n, after=self.any_of(depth)))

    def _line(self, start: int) -> AnyRule:
        first = self._number()
        self._expect(",")
        return self._read({"line": {"first": first, "last": self._number()}}, start)

    def _regex(self, start: int) -> AnyRule:
        pattern = self._string()
        at = self._name("first, last or after") if self._takes(",") else "match"
        return self._read({"regex": pattern, "at": at}, start)

    def _read(self, value: dict[str, object], start: int) -> AnyRule:
        try:
            return read(value)
        except InvalidInput as error:
            words = error.message.removeprefix("rule.")
            raise InvalidInput(f"Column {start + 1}: {words}") from None

    def _string(self) -> str:
        quoted = self._matched(_STRING, 'a string in double quotes, as " Paris"')
        try:
            value: str = json.loads(quoted, strict=False)
        except ValueError as error:
            self.at -= len(quoted)
            raise self.error(f"a JSON string ({error})") from None
        return value

    def _number(self) -> int:
        return int(self._matched(_NUMBER, "a whole number"))

    def _name(self, expected: str) -> str:
        return self._matched(_NAME, expected)

    def _matched(self, pattern: re.Pattern[str], expected: str) -> str:
        self._next()
        found = pattern.match(self.text, self.at)
        if found is None:
            raise self.error(expected)
        self.at = found.end()
        return found[0]

    def _expect(self, sign: str) -> None:
        if not self._takes(sign):
            raise self.error(sign)

    def _takes(self, sign: str) -> bool:
        self._next()
        return self._sticks(sign)

    def _sticks(self, sign: str) -> bool:
        is_next = self.text.startswith(sign, self.at)
        self.at += len(sign) if is_next else 0
        return is_next

    def _next(self) -> int:
        blanks = _BLANKS.match(self.text, self.at)
        self.at = blanks.end() if blanks else self.at
        return self.at

    def about_slash(self) -> str:
        """A hint, where a regex was read and another slash follows what is left over."""
        before, rest = self.text[: self.at].rstrip(), self.text[self.at :]
        is_cut = before.endswith("/") and "/" in rest
        return r" (a slash within /.../ is written \/)" if is_cut else ""

    def is_at_end(self) -> bool:
        return self._next() == len(self.text)

    def error(self, expected: str) -> InvalidInput:
        rest = self.text[self.at : self.at + 20]
        found = json.dumps(rest) if rest else "the end"
        return InvalidInput(f"Column {self.at + 1}: expected {expected}, found {found}.")


def _unknown(start: int, what: str, name: str, forms: Sequence[str]) -> InvalidInput:
    """The error for a name that there is not; `forms` are the known ones as they are written."""
    known = {form.strip(":(.)"): form for form in forms}
    meant = meant_by(name, list(known))
    question = f" Did you mean {known[meant]}?" if meant else ""
    return InvalidInput(
        f"Column {start + 1}: there is no {what}; there are {', '.join(forms)}.{question}"
    )
