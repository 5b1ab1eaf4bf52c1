"""What is inside quotes, brackets and comments: read from left to right, within a window.

A token is inside where the opening was before its first byte, and no closing either: so the opening
token is outside, and the one that closes is inside. What was opened before the window began is not
known. Nothing but the text before a token decides, as for a causal model.

  quotes    "...", '...' and `...` to the end of the line at most, and triple ones. A backslash
            spares what follows it. An apostrophe within or after a word opens nothing; a string
            prefix (f'...') may stand before.
  comment   # at a line's start or after a blank; // at a line's start or after one of ; { } , )
            (so that a division and an address are none): to the end of the line; /* */; <!-- -->
  brackets  (, [ or { without its closing, whichever of the three closes; those in quotes count

Quotes in comments and comments in quotes are neither. No grammar of a language: where a text
breaks these habits, it is taken for what it looks like.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from app.rules.patterns import Spans, marked

if TYPE_CHECKING:
    import pyarrow as pa

_COMMENTS = (
    r"((?m:^)[ \t]*|[;{},)][ \t]*)(//[^\n]*)"
    r"|((?m:^)|[ \t])(#[^\n]*)"
    r"|((?s:/\*.*?(?:\*/|\z)|<!--.*?(?:-->|\z)))"
)
_QUOTES = (
    r'((?s:"""(?:[^\\]|\\.)*?(?:"""|\\?\z)' + r"|'''(?:[^\\]|\\.)*?(?:'''|\\?\z))"
    r'|"(?:[^"\\\n]|\\.)*(?:"|$|\n|\\)'
    r"|'(?:[^'\\\n]|\\.)*(?:'|$|\n|\\)"
    r"|`(?:[^`\\\n]|\\.)*(?:`|$|\n|\\))"
)
_NEITHER = r"(\\(?s:.)|[\pL\pN_]')"
_PREFIXED = r"(\b[bfruBFRU]{1,2})"
_LEXER = f"{_COMMENTS}|{_PREFIXED}?{_QUOTES}|{_NEITHER}"
_REWRITES = {
    "comment": b"\\1\\3\xff\\2\\4\\5\xfe\\6\\7\\8",
    "quotes": b"\\1\\2\\3\\4\\5\\6\xff\\7\xfe\\8",
}
WINDOWS_AT_ONCE = 1024
_OPENING, _CLOSING = b"([{", b")]}"


def lexed(windows: "pa.LargeStringArray") -> dict[str, Spans]:
    """Comments and quotes, openings and closings included; some spans are empty."""
    return {name: marked(_LEXER, rewrite, windows) for name, rewrite in _REWRITES.items()}


def begin_inside(
    begins: Int64[np.ndarray, " positions"], spans: Spans
) -> Bool[np.ndarray, " positions"]:
    """Positions that begin within a span and not at its start."""
    is_some = spans.highs > spans.lows
    lows, highs = spans.lows[is_some], spans.highs[is_some]
    last = np.searchsorted(lows, begins, side="left") - 1
    is_inside: Bool[np.ndarray, " positions"] = (last >= 0) & (begins < np.append(highs, 0)[last])
    return is_inside


def bracketed(
    text: UInt8[np.ndarray, " bytes"], starts: Int64[np.ndarray, " windows_and_one"]
) -> Bool[np.ndarray, " bytes_and_one"]:
    """Whether a bracket is open before each byte, since its window's start.

    A closing bracket with nothing open counts nothing. Some windows at a time, to spare memory.
    """
    is_open = np.zeros(len(text) + 1, dtype=bool)
    for at in range(0, len(starts) - 1, WINDOWS_AT_ONCE):
        some = starts[at : at + WINDOWS_AT_ONCE + 1]
        is_open[some[0] : some[-1]] = _open_in(text[some[0] : some[-1]], some[:-1] - some[0])
    return is_open


def _open_in(
    text: UInt8[np.ndarray, " bytes"], firsts: Int64[np.ndarray, " windows"]
) -> Bool[np.ndarray, " bytes"]:
    """The running sum is above its least so far in the window. Each window's sums are put below
    those of the windows before, so that one accumulation serves all."""
    change = np.zeros(len(text) + 1, dtype=np.int64)
    change[1:] += np.isin(text, np.frombuffer(_OPENING, np.uint8))
    change[1:] -= np.isin(text, np.frombuffer(_CLOSING, np.uint8))
    change[firsts] -= 2 * len(text) + 2
    sums = np.cumsum(change)[:-1]
    is_open: Bool[np.ndarray, " bytes"] = sums > np.minimum.accumulate(sums)
    return is_open
