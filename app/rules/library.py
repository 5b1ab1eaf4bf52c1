"""The rules that automatic labels are chosen from, made from the text of an atlas alone.

In this order, the more frequent first, ties by the token's id or by the text:

  tokens     the most frequent ones
  classes    all of them
  previous   the same after a frequent token (a put-in one too: the first token), or after a class
  within     at most NEAR tokens after a frequent token
  affixes    prefixes and suffixes of 2 to 4 characters that several different tokens share
  line       places in the line
  inside     quotes, brackets, a comment

Only what a token and those before it decide: a causal model does not know what follows, so no rule
here asks for it. Regexes are left to people. Rules that hold at fewer than `n_least` positions, or
at all of them, are left out.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Int64

from app.rules.atlas_text import AtlasText
from app.rules.evaluation import evaluate
from app.rules.language import (
    MAX_LINE,
    AnyRule,
    Class,
    ClassName,
    Inside,
    InsideName,
    Line,
    Near,
    Places,
    Prefix,
    Previous,
    Suffix,
    Tokens,
    Within,
)

N_TOKENS = 500
N_PREVIOUS = 250
N_WITHIN = 60
N_PREFIXES = N_SUFFIXES = 250
NEAR = 5
LENGTHS = (2, 3, 4)
N_LEAST = 10
LINE_PLACES = (
    (0, 0), (1, 1), (2, 2), (3, 3), (0, 3), (4, 7), (8, 15), (16, 31), (32, 63), (64, MAX_LINE),
)  # fmt: skip


class LibraryRule(NamedTuple):
    """A rule and the positions where it holds, ascending."""

    rule: AnyRule
    matched: Int64[np.ndarray, " matched"]


def library(text: AtlasText, n_least: int = N_LEAST) -> Iterator[LibraryRule]:
    """All rules, evaluated one at a time, always in the same order.

    At most about 1,400; about 2 ms each over a million positions.
    """
    for rule in candidates(text):
        matched = evaluate(rule, text)
        if n_least <= len(matched) < text.n_positions:
            yield LibraryRule(rule, matched)


def candidates(text: AtlasText) -> Iterator[AnyRule]:
    """The rules before anything is known of where they hold."""
    classes = [Class(name=name) for name in get_args(ClassName)]
    tokens = list(islice(_frequent(text), max(N_TOKENS, N_PREVIOUS, N_WITHIN)))
    yield from tokens[:N_TOKENS]
    yield from classes
    yield from (Previous(previous=each) for each in (*_put_in(text), *tokens[:N_PREVIOUS]))
    yield from (Previous(previous=each) for each in classes)
    yield from (Within(within=Near(n=NEAR, after=each)) for each in tokens[:N_WITHIN])
    yield from (Prefix(prefix=each) for each in _affixes(text, N_PREFIXES, is_prefix=True))
    yield from (Suffix(suffix=each) for each in _affixes(text, N_SUFFIXES, is_prefix=False))
    yield from (Line(line=Places(first=first, last=last)) for first, last in LINE_PLACES)
    yield from (Inside(inside=name) for name in get_args(InsideName))


def _frequent(text: AtlasText) -> Iterator[Tokens]:
    counts, seen = text.counts, set()
    for token_id in np.argsort(-counts, kind="stable").tolist():
        if counts[token_id] == 0:
            return
        name = text.vocabulary.texts[token_id]
        if name and name not in seen and not text.vocabulary.is_special[token_id]:
            seen.add(name)
            yield Tokens(tokens=(name,))


def _put_in(text: AtlasText) -> list[Tokens]:
    """Put-in tokens; at the token after one a window or a document begins."""
    put_in = np.unique(text.token_ids[~text.is_counted]).tolist()
    return [Tokens(tokens=(text.vocabulary.texts[token_id],)) for token_id in put_in]


def _affixes(text: AtlasText, n: int, *, is_prefix: bool) -> list[str]:
    """The `n` most frequent affixes that at least two tokens of the text have."""
    n_positions: Counter[str] = Counter()
    n_tokens: Counter[str] = Counter()
    for token_id in np.flatnonzero(text.counts).tolist():
        name = text.vocabulary.texts[token_id]
        if text.vocabulary.is_special[token_id] or "\\x" in name:
            continue
        lengths = [length for length in LENGTHS if length <= len(name)]
        for affix in {name[:length] if is_prefix else name[-length:] for length in lengths}:
            n_positions[affix] += int(text.counts[token_id])
            n_tokens[affix] += 1
    shared = [affix for affix in n_positions if n_tokens[affix] > 1]
    return sorted(shared, key=lambda affix: (-n_positions[affix], affix))[:n]
