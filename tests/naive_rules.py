"""Rules as their definitions say, one token at a time, on Python's own lists and regexes.

Also texts cut into byte-level tokens at any byte, with what the database would hold of them.
"""

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from app.rules.atlas_text import AtlasText, WindowParts, build
from app.rules.language import (
    AllOf,
    AnyOf,
    AnyRule,
    Class,
    Line,
    Not,
    Prefix,
    Previous,
    Regex,
    Suffix,
    Tokens,
    Within,
)
from app.rules.vocabulary import Vocabulary

BOS = "<bos>"


@dataclass(frozen=True)
class NaiveToken:
    """`chars`: the characters of the window that it holds a part of; none for a put-in token."""

    text: str
    chars: range
    is_put_in: bool = False


@dataclass(frozen=True)
class NaiveWindow:
    document: int
    text: str
    tokens: list[NaiveToken]


def cut(document: int, text: str, cuts: list[int], put_in: list[int]) -> NaiveWindow:
    """`text` cut at these bytes (those that are none are ignored), a BOS before these tokens."""
    raw = text.encode()
    char_of = [i for i, char in enumerate(text) for _ in char.encode()]
    bounds = sorted({0, len(raw), *(at for at in cuts if 0 < at < len(raw))})
    tokens = [
        NaiveToken(text_of(raw[low:high]), range(char_of[low], char_of[high - 1] + 1))
        for low, high in pairwise(bounds)
    ]
    for at in sorted(put_in, reverse=True):
        if at <= len(tokens):
            tokens.insert(at, NaiveToken(BOS, range(0), is_put_in=True))
    return NaiveWindow(document, text, tokens)


def text_of(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def stored(windows: list[NaiveWindow]) -> AtlasText:
    """The windows as the application reads them."""
    texts = [BOS, *sorted({token.text for window in windows for token in window.tokens} - {BOS})]
    ids = {text: i for i, text in enumerate(texts)}
    vocabulary = Vocabulary(texts, np.array([text == BOS for text in texts]))
    return build(vocabulary, [_parts(window, ids) for window in windows])


def _parts(window: NaiveWindow, ids: dict[str, int]) -> WindowParts:
    starts = [0] * len(window.tokens)
    following = len(window.text)
    for i in range(len(starts) - 1, -1, -1):
        chars = window.tokens[i].chars
        following = starts[i] = chars.start if len(chars) else following
    return WindowParts(
        window.document,
        np.array([ids[token.text] for token in window.tokens], "<u4").tobytes(),
        np.array(starts, "<u4").tobytes(),
        window.text.encode(),
        [i for i, token in enumerate(window.tokens) if token.is_put_in],
    )


def matched(rule: AnyRule, windows: list[NaiveWindow]) -> list[int]:
    """Positions where the rule holds."""
    flags = [
        flag
        for window in windows
        for flag, token in zip(holds(rule, window), window.tokens, strict=True)
        if not token.is_put_in
    ]
    return [i for i, flag in enumerate(flags) if flag]


def holds(rule: AnyRule, window: NaiveWindow) -> list[bool]:
    """For each token of a window, put-in ones too."""
    n = len(window.tokens)
    match rule:
        case Not():
            return [not flag for flag in holds(rule.part, window)]
        case AnyOf():
            return [any(flags) for flags in zip(*_all(rule.parts, window), strict=True)]
        case AllOf():
            return [all(flags) for flags in zip(*_all(rule.parts, window), strict=True)]
        case Previous():
            return [False, *holds(rule.previous, window)][:n]
        case Within():
            inner = holds(rule.within.after, window)
            return [any(inner[max(0, i - rule.within.n) : i]) for i in range(n)]
        case Regex():
            return _regex(rule, window)
        case Line():
            return [rule.line.first <= place <= rule.line.last for place in _places(window)]
        case Class(name="word_start"):
            return [_begins_word(window.tokens, i) for i in range(n)]
        case _:
            return [_token(rule, token) for token in window.tokens]


def _all(rules: tuple[AnyRule, ...], window: NaiveWindow) -> list[list[bool]]:
    return [holds(rule, window) for rule in rules]


def _token(rule: AnyRule, token: NaiveToken) -> bool:
    if isinstance(rule, Tokens):
        return token.text in rule.tokens
    if token.is_put_in:
        return False
    match rule:
        case Prefix():
            return token.text.startswith(rule.prefix)
        case Suffix():
            return token.text.endswith(rule.suffix)
        case Class():
            return _is_of_class(rule.name, _plain(token))
    raise AssertionError(rule)


def _plain(token: NaiveToken) -> str:
    return re.sub(r"(\\x[0-9a-f]{2})+", "\ufffd", token.text)


def _is_of_class(name: str, text: str) -> bool:
    inner = text.strip()
    if name == "digit":
        return inner.isdecimal()
    if name == "upper":
        return inner[:1].isupper()
    if name == "newline":
        return "\n" in text or "\r" in text
    if name == "space":
        return not inner
    return bool(inner) and all(unicodedata.category(c)[0] in "PS" and c != "\ufffd" for c in inner)


def _begins_word(tokens: list[NaiveToken], at: int) -> bool:
    if tokens[at].is_put_in:
        return False
    text = _plain(tokens[at])
    before = "" if at == 0 or tokens[at - 1].is_put_in else _plain(tokens[at - 1])
    has_blanks = text[:1].isspace()
    is_word = re.match(r"\w", text.lstrip() if has_blanks else text) is not None
    return is_word and (has_blanks or re.search(r"\w\Z", before) is None)


def _places(window: NaiveWindow) -> list[int]:
    places, place = [], 0
    for token in window.tokens:
        places.append(-1 if token.is_put_in else place)
        ends_line = token.is_put_in or _is_of_class("newline", _plain(token))
        place = 0 if ends_line else place + 1
    return places


def _regex(rule: Regex, window: NaiveWindow) -> list[bool]:
    flags = [False] * len(window.tokens)
    pattern = rule.regex.replace(r"\z", r"\Z")
    for found in re.finditer(pattern, window.text, re.ASCII):
        low, high = found.span()
        over = [i for i, t in enumerate(window.tokens) if set(t.chars) & set(range(low, high))]
        after = [i for i, t in enumerate(window.tokens) if len(t.chars) and t.chars.start >= high]
        chosen = {"match": over, "first": over[:1], "last": over[-1:], "after": after[:1]}
        for i in chosen[rule.at]:
            flags[i] = True
    return flags
