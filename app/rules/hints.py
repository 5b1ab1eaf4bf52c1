"""Why a rule holds nowhere, and what is near: tokens that are spelled a little differently, text
that is cut into other tokens, other letters' case, parts that never hold together."""

import json
import re
from collections.abc import Iterator

import numpy as np

from app.errors import InvalidInput
from app.rules import patterns
from app.rules.atlas_text import AtlasText
from app.rules.evaluation import Evaluated, Evaluation
from app.rules.language import (
    AllOf,
    AnyRule,
    Prefix,
    Regex,
    Suffix,
    Tokens,
    parts_of,
)
from app.rules.text import to_text
from app.rules.vocabulary import folded

MAX_HINTS = 4
N_NEAR = 4
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


def examine(rule: AnyRule, text: AtlasText) -> Evaluated:
    """Where the rule holds; hints where it holds nowhere. Raises InvalidInput as `evaluate`."""
    evaluation = Evaluation(text)
    matched = evaluation.matched(rule)
    hints = () if len(matched) else tuple(_unique(_hints(rule, evaluation)))
    return Evaluated(matched, text.n_positions, hints)


def _unique(hints: Iterator[str]) -> Iterator[str]:
    seen: set[str] = set()
    for hint in hints:
        if hint not in seen:
            seen.add(hint)
            yield hint
        if len(seen) == MAX_HINTS:
            return


def _hints(rule: AnyRule, evaluation: Evaluation) -> Iterator[str]:
    """Of the rule's parts that hold nowhere, from left to right; then of those put together."""
    n_parts = [len(evaluation.matched(part)) for part in parts_of(rule)]
    for part, n in zip(parts_of(rule), n_parts, strict=True):
        if n == 0:
            yield from _hints(part, evaluation)
    text, until = evaluation.text, evaluation.until
    match rule:
        case Tokens():
            for token in rule.tokens:
                yield _about_token(token, text, until)
        case Regex():
            yield _about_regex(rule, text, until)
        case Prefix() | Suffix():
            yield _about_affix(rule, text)
        case AllOf() if all(n_parts):
            found = ", ".join(
                f"{to_text(part)} at {n:,} positions"
                for part, n in zip(rule.parts, n_parts, strict=True)
            )
            yield f"Each part holds somewhere, but never at one token: {found}."


def _about_token(token: str, text: AtlasText, until: float) -> str:
    vocabulary, quoted = text.vocabulary, json.dumps(token, ensure_ascii=False)
    ids = vocabulary.ids_by_text.get(token, [])
    if ids:
        is_put_in = bool(np.isin(text.token_ids, ids).any())
        where = "only put in, where nothing is counted" if is_put_in else "nowhere in this atlas"
        return f"The token {quoted} is in the vocabulary, but {where}."
    near = sorted(
        vocabulary.ids_by_folded.get(folded(token), ()), key=lambda i: (-int(text.counts[i]), i)
    )
    if near:
        shown = ", ".join(_with_count(i, text) for i in near[:N_NEAR])
        return f"No token is {quoted}. Near it: {shown}."
    pattern = _SPECIAL.sub(r"\\\g<0>", token)
    n_found = _n_matches(pattern, text, until)
    if n_found:
        regex = to_text(Regex(regex=pattern))
        return f"No token is {quoted}; as text it is there {n_found:,} times: try {regex}."
    return f"No token is {quoted}, nor is it anywhere in the text."


def _with_count(token_id: int, text: AtlasText) -> str:
    shown = json.dumps(text.vocabulary.texts[token_id], ensure_ascii=False)
    return f"{shown} ({int(text.counts[token_id]):,} times)"


def _about_regex(rule: Regex, text: AtlasText, until: float) -> str:
    shown, pattern = to_text(rule), f"(?i){rule.regex}"
    n_found = _n_matches(pattern, text, until) if len(pattern) <= patterns.MAX_PATTERN else 0
    if n_found:
        other = to_text(Regex(regex=pattern, at=rule.at))
        return f"{shown} matches nothing; in any case of letters, {other}: {n_found:,}."
    return f"{shown} matches no token in this atlas, in any case of letters."


def _n_matches(pattern: str, text: AtlasText, until: float) -> int:
    """Matches that are not empty; 0 where the time is up: a hint is not worth an error."""
    try:
        spans = patterns.find(pattern, text.windows, until)
    except InvalidInput:
        return 0
    return int(np.count_nonzero(spans.highs > spans.lows))


def _about_affix(rule: Prefix | Suffix, text: AtlasText) -> str:
    vocabulary = text.vocabulary
    is_prefix = isinstance(rule, Prefix)
    affix = rule.prefix if isinstance(rule, Prefix) else rule.suffix
    flags = vocabulary.begin_with(affix) if is_prefix else vocabulary.end_with(affix)
    verb, quoted = "begins" if is_prefix else "ends", json.dumps(affix, ensure_ascii=False)
    if flags.any():
        some = ", ".join(_with_count(int(i), text) for i in np.flatnonzero(flags)[:N_NEAR])
        return f"Tokens whose text {verb} with {quoted} are nowhere in this atlas: {some}."
    return f"No token's text {verb} with {quoted}."
