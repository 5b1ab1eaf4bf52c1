"""Where a rule holds, over an atlas's positions.

What asks for a token alone is computed once for each entry of the vocabulary, then gathered; what
asks for text is found in one pass over all windows; the rest is arithmetic on flags, one for each
token. Nothing crosses windows. Put-in tokens (BOS) are looked at as context: `previous` of a BOS
holds at the token after it, and by its negation every rule about text; they never match.

  word_start   the token begins a word: blanks and then a letter, digit or `_`; or at once such a
               character, where the token before does not end in one
  previous     never holds at a window's first token
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from app.rules import patterns
from app.rules.atlas_text import AtlasText
from app.rules.language import (
    AllOf,
    AnyOf,
    AnyRule,
    Class,
    Inside,
    Line,
    Not,
    Prefix,
    Previous,
    Regex,
    Suffix,
    Tokens,
    Within,
)

Flags = Bool[np.ndarray, " tokens"]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """matched    positions where the rule holds, ascending
    n_examined  all positions
    hints       where nothing matched: why, and what is near (app.rules.hints)
    """

    matched: Int64[np.ndarray, " matched"]
    n_examined: int
    hints: tuple[str, ...] = ()


def evaluate(rule: AnyRule, text: AtlasText) -> Int64[np.ndarray, " matched"]:
    """The positions where the rule holds, ascending. Raises InvalidInput where the time is up."""
    return Evaluation(text).matched(rule)


class Evaluation:
    """Evaluates rules over one text, for one question, in one thread; what several have in common
    is computed once. All regexes together have the time that patterns.MAX_SECONDS says."""

    def __init__(self, text: AtlasText) -> None:
        self.text, self.until = text, patterns.time_limit()
        self._known: dict[AnyRule, Flags] = {}

    def matched(self, rule: AnyRule) -> Int64[np.ndarray, " matched"]:
        """The positions where the rule holds, ascending."""
        matched: Int64[np.ndarray, " matched"] = np.flatnonzero(self.flags(rule)[self.text.counted])
        return matched

    def flags(self, rule: AnyRule) -> Flags:
        """For every token, put-in ones too, whether the rule holds there."""
        found = self._known.get(rule)
        if found is None:
            found = self._known[rule] = self._made_of(rule)
        return found

    def _made_of(self, rule: AnyRule) -> Flags:
        flags: Flags
        match rule:
            case Not():
                flags = ~self.flags(rule.part)
            case AnyOf():
                flags = np.logical_or.reduce([self.flags(part) for part in rule.parts])
            case AllOf():
                flags = np.logical_and.reduce([self.flags(part) for part in rule.parts])
            case Previous():
                flags = shifted(self.flags(rule.previous), self.text)
            case Within():
                flags = within(self.flags(rule.within.after), rule.within.n, self.text)
            case Regex():
                flags = _matching(rule, self.text, self.until)
            case Line():
                places = self.text.places
                is_there = (places >= rule.line.first) & (places <= rule.line.last)
                flags = is_there & self.text.is_counted
            case Inside():
                flags = self.text.inside(rule.inside)
            case _:
                flags = of_tokens(rule, self.text)
        return flags


def of_tokens(rule: AnyRule, text: AtlasText) -> Flags:
    """Rules that ask for a token alone, but for words' beginnings."""
    vocabulary = text.vocabulary
    match rule:
        case Class(name="word_start"):
            return _begin_words(text)
        case Class():
            holds = vocabulary.are_of_class(rule.name)
        case Tokens():
            holds = vocabulary.are(rule.tokens)
        case Prefix():
            holds = vocabulary.begin_with(rule.prefix)
        case Suffix():
            holds = vocabulary.end_with(rule.suffix)
        case _:
            raise TypeError(f"{type(rule).__name__} asks for more than a token")
    flags: Flags = holds[text.token_ids]
    return flags


def _begin_words(text: AtlasText) -> Flags:
    vocabulary, ids = text.vocabulary, text.token_ids
    is_in_word = shifted(vocabulary.ends_in_word[ids], text)
    flags: Flags = vocabulary.begins_word[ids] & ~is_in_word
    flags |= vocabulary.begins_word_after_blanks[ids]
    return flags


def shifted(flags: Flags, text: AtlasText) -> Flags:
    """Whether the flag is set at the token before, in the same window."""
    out = np.zeros_like(flags)
    out[1:] = flags[:-1]
    out[text.is_first] = False
    return out


def within(flags: Flags, n: int, text: AtlasText) -> Flags:
    """Whether the flag is set at one of the n tokens before, in the same window."""
    index = np.arange(text.n_tokens, dtype=np.int32)
    far = np.int32(-n - 1)
    latest = np.maximum.accumulate(np.where(flags, index, far))
    latest = np.concatenate([[far], latest])[:-1].astype(np.int32)
    near: Flags = (index - latest <= n) & (latest >= text.firsts)
    return near


def _matching(rule: Regex, text: AtlasText, until: float) -> Flags:
    spans = patterns.find(rule.regex, text.windows, until, is_cover=rule.at == "match")
    if rule.at == "after":
        return text.of_positions(_after(spans, text))
    is_some = spans.highs > spans.lows
    lows, highs = spans.lows[is_some], spans.highs[is_some]
    firsts = np.searchsorted(text.ends, lows, side="right")
    lasts = np.searchsorted(text.begins, highs, side="left") - 1
    flags = np.zeros(text.n_positions + 1, dtype=bool)  # the last for matches of no token
    is_any = firsts <= lasts
    firsts, lasts = firsts[is_any], lasts[is_any]
    if rule.at == "first":
        flags[firsts] = True
    elif rule.at == "last":
        flags[lasts] = True
    else:
        flags[_ranges(firsts, lasts)] = True
    return text.of_positions(flags[:-1])


def _after(spans: patterns.Spans, text: AtlasText) -> Bool[np.ndarray, " positions"]:
    """The first position that begins at each match's end or later, in the same window."""
    followers = np.searchsorted(text.begins, spans.highs, side="left")
    windows = np.searchsorted(text.text_starts, spans.lows, side="right")
    is_there = followers < text.n_positions
    followers, windows = followers[is_there], windows[is_there]
    is_same = text.begins[followers] < text.text_starts[windows]
    flags = np.zeros(text.n_positions, dtype=bool)
    flags[followers[is_same]] = True
    return flags


def _ranges(
    firsts: Int64[np.ndarray, " spans"], lasts: Int64[np.ndarray, " spans"]
) -> Int64[np.ndarray, " covered"]:
    """All numbers from each first to its last."""
    lengths = lasts - firsts + 1
    offsets = np.cumsum(lengths) - lengths
    return np.repeat(firsts - offsets, lengths) + np.arange(lengths.sum())
