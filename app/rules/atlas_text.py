"""The text of an atlas: every token of its sampled windows, in flat arrays, for rules to look at.

Tokens are in the order of windows, then of positions, put-in ones (BOS) among them; counted ones
are the atlas's positions. Put-in tokens have no text.

A token's bytes are those of all characters that it holds a part of: a byte-level tokenizer may cut
a character in pieces, and then each of the tokens overlaps all of it. So `begins` and `ends` never
decrease, and every byte from the first `begin` on belongs to at least one token. What a tokenizer
drops belongs to the token before.

Costs about 60 bytes a position of memory, and half a second a million positions to read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8

from app.corpora.windows import SURROGATE, UINT32
from app.rules import insides
from app.rules.patterns import joined
from app.rules.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa


class WindowParts(NamedTuple):
    """What the database holds of a window, as app.models.corpora.TokenWindow says it."""

    document: int
    token_ids: bytes
    starts: bytes
    text: bytes
    uncounted: Sequence[int]


@dataclass(frozen=True, eq=False)
class AtlasText:
    """Tokens and text. Window w has the tokens [window_starts[w], window_starts[w + 1]) and the
    bytes [text_starts[w], text_starts[w + 1]).

    counted    the atlas's positions as tokens
    documents  each position's document
    begins, ends  each position's bytes in `text`
    """

    vocabulary: Vocabulary
    token_ids: Int32[np.ndarray, " tokens"]
    window_starts: Int64[np.ndarray, " windows_and_one"]
    counted: Int64[np.ndarray, " positions"]
    documents: Int32[np.ndarray, " positions"]
    text: UInt8[np.ndarray, " bytes"]
    text_starts: Int64[np.ndarray, " windows_and_one"]
    begins: Int64[np.ndarray, " positions"]
    ends: Int64[np.ndarray, " positions"]

    @property
    def n_tokens(self) -> int:
        return len(self.token_ids)

    @property
    def n_positions(self) -> int:
        return len(self.counted)

    @cached_property
    def windows(self) -> "pa.LargeStringArray":
        """The windows' texts."""
        return joined(self.text, self.text_starts)

    @cached_property
    def is_counted(self) -> Bool[np.ndarray, " tokens"]:
        flags = np.zeros(self.n_tokens, dtype=bool)
        flags[self.counted] = True
        return flags

    @cached_property
    def is_first(self) -> Bool[np.ndarray, " tokens"]:
        """The first token of its window."""
        flags = np.zeros(self.n_tokens + 1, dtype=bool)
        flags[self.window_starts] = True
        return flags[:-1]

    @cached_property
    def window_of(self) -> Int64[np.ndarray, " positions"]:
        """Each position's window, ascending."""
        found: np.ndarray = np.searchsorted(self.window_starts, self.counted, side="right") - 1
        return found

    @cached_property
    def firsts(self) -> Int32[np.ndarray, " tokens"]:
        """The first token of each token's window."""
        firsts = self.window_starts[:-1].astype(np.int32)
        return np.repeat(firsts, np.diff(self.window_starts))

    @cached_property
    def counts(self) -> Int64[np.ndarray, " vocab"]:
        """How often each token of the vocabulary is at a position."""
        return np.bincount(self.token_ids[self.counted], minlength=len(self.vocabulary.texts))

    @cached_property
    def places(self) -> Int32[np.ndarray, " tokens"]:
        """Each token's place since the last newline, put-in token or window's start, from 0: the
        token that holds the newline still belongs to the line that it ends."""
        begins_line = self.is_first.copy()
        has_newline = self.vocabulary.are_of_class("newline")[self.token_ids]
        begins_line[1:] |= (has_newline | ~self.is_counted)[:-1]
        index = np.arange(self.n_tokens, dtype=np.int32)
        return index - np.maximum.accumulate(np.where(begins_line, index, np.int32(0)))

    def inside(self, name: str) -> Bool[np.ndarray, " tokens"]:
        """Tokens inside quotes, brackets or a comment (app.rules.insides)."""
        return self._inside_brackets if name == "brackets" else self._lexed[name]

    @cached_property
    def _inside_brackets(self) -> Bool[np.ndarray, " tokens"]:
        return self.of_positions(insides.bracketed(self.text, self.text_starts)[self.begins])

    @cached_property
    def _lexed(self) -> dict[str, Bool[np.ndarray, " tokens"]]:
        return {
            name: self.of_positions(insides.begin_inside(self.begins, spans))
            for name, spans in insides.lexed(self.windows).items()
        }

    def of_positions(self, flags: Bool[np.ndarray, " positions"]) -> Bool[np.ndarray, " tokens"]:
        """Flags of positions as flags of tokens; those of put-in ones are False."""
        of_tokens = np.zeros(self.n_tokens, dtype=bool)
        of_tokens[self.counted] = flags
        return of_tokens


def build(vocabulary: Vocabulary, windows: Iterable[WindowParts]) -> AtlasText:
    """The arrays, from windows in the atlas's order."""
    rows = list(windows)
    texts = [_utf8(row.text) for row in rows]
    text = np.frombuffer(b"".join(texts), np.uint8)
    text_starts = _cumulated([len(each) for each in texts])
    token_ids = np.frombuffer(b"".join(row.token_ids for row in rows), UINT32).astype(np.int32)
    vocabulary = _reaching(vocabulary, int(token_ids.max(initial=-1)))
    starts = np.frombuffer(b"".join(row.starts for row in rows), UINT32).astype(np.int64)
    window_starts = _cumulated([len(row.token_ids) // UINT32.itemsize for row in rows])
    is_counted = np.ones(len(token_ids), dtype=bool)
    is_counted[
        [at + i for at, row in zip(window_starts[:-1], rows, strict=True) for i in row.uncounted]
    ] = False
    counted = np.flatnonzero(is_counted)
    window_of = np.repeat(np.arange(len(rows)), np.diff(window_starts))[counted]
    documents = np.array([row.document for row in rows], np.int32)[window_of]
    begins, ends = _spans(
        vocabulary, token_ids[counted], starts[counted], window_of, text, text_starts
    )
    return AtlasText(
        vocabulary, token_ids, window_starts, counted, documents, text, text_starts, begins, ends
    )


def _spans(
    vocabulary: Vocabulary,
    token_ids: Int32[np.ndarray, " positions"],
    starts: Int64[np.ndarray, " positions"],
    window_of: Int64[np.ndarray, " positions"],
    text: UInt8[np.ndarray, " bytes"],
    text_starts: Int64[np.ndarray, " windows_and_one"],
) -> tuple[Int64[np.ndarray, " positions"], Int64[np.ndarray, " positions"]]:
    """Each position's bytes: up to where the next token starts, and the rest of a character that
    both hold a part of."""
    chars = np.append(np.flatnonzero((text & 0xC0) != 0x80), len(text))
    bounds = np.searchsorted(chars, text_starts)
    begins = np.minimum(bounds[window_of] + starts, bounds[window_of + 1])
    ends = bounds[window_of + 1]
    is_followed = window_of[:-1] == window_of[1:]
    ends[:-1] = np.where(is_followed, begins[1:], ends[:-1])
    heads, widths = vocabulary.cut
    n_covered = ends - begins
    next_head = np.append(text, np.uint8(0))[chars[ends]]
    is_cut = (
        (heads[token_ids] != 0) & (heads[token_ids] == next_head) & (n_covered <= widths[token_ids])
    )
    is_cut[:-1] &= is_followed
    is_cut[-1:] = False
    ends = np.minimum(ends + (is_cut | (n_covered == 0)), bounds[window_of + 1])
    return chars[begins], chars[ends]


def _reaching(vocabulary: Vocabulary, greatest: int) -> Vocabulary:
    """The vocabulary, filled up with tokens of no text where ids of the corpus are beyond it."""
    n_known = len(vocabulary.texts)
    n_more = greatest + 1 - n_known
    if n_more <= 0:
        return vocabulary
    more = [f"<{token_id}>" for token_id in range(n_known, greatest + 1)]
    is_special = np.append(vocabulary.is_special, np.ones(n_more, dtype=bool))
    return Vocabulary([*vocabulary.texts, *more], is_special)


def _cumulated(lengths: Sequence[int]) -> Int64[np.ndarray, " lengths_and_one"]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def _utf8(stored: bytes) -> bytes:
    """Valid UTF-8 of the same characters: U+FFFD for a lone surrogate, as app.corpora.windows has
    it, which takes as many bytes, and for what is no UTF-8 at all."""
    try:
        stored.decode("utf-8")
        return stored
    except UnicodeDecodeError:
        pass
    try:
        text = SURROGATE.sub("\ufffd", stored.decode("utf-8", errors="surrogatepass"))
    except UnicodeDecodeError:
        text = stored.decode("utf-8", errors="replace")
    return text.encode("utf-8")
