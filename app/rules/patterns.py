"""Regular expressions over many windows: checked by RE2, then run over all of them at once.

Patterns are in RE2's syntax: no look-around, no back-references. A window's text is UTF-8, so `.`
and classes mean characters; `\\b`, `\\w`, `\\d` know ASCII only (`\\pL`, `\\p{Nd}` know all). Each
window is a text of its own: `^` and `$` are its edges (under `(?m)` those of lines), `\\b` holds at
an edge next to a word character, and nothing matches across. Matches are the leftmost ones, found
one after another without overlap.

Every match is found in one pass of compiled code, without the interpreter's lock: Arrow's
`replace_substring_regex` (RE2's GlobalReplace) puts the bytes FF and FE, which UTF-8 never holds,
around each match, and their places in the result are the matches' offsets. Measured on 4 MB in
8,000 windows: 3 to 35 ms for patterns that match up to 60,000 times, 0.1 µs a match on top.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from math import inf
from time import thread_time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

from app.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

MAX_PATTERN = 1000  # characters
MAX_PROGRAM = 4000  # RE2's instructions
MAX_MEMORY = 1 << 21  # bytes; a pattern that RE2 needs more for is refused
MAX_SECONDS = 2.0  # of this thread's processor time
FIRST_WINDOWS = 4
OPEN, CLOSE = 0xFF, 0xFE

_ONE_CHARACTER = re.compile(r"\\[dwsDWS]|\\[pP][A-Z]|\\[pP]\{\^?\w+\}|\.|\[[^\[\]\\]+\]|[\w ]")


class Spans(NamedTuple):
    """Matches as half-open spans of bytes of the joined text, ascending, empty ones among them."""

    lows: Int64[np.ndarray, " spans"]
    highs: Int64[np.ndarray, " spans"]


@lru_cache(maxsize=1024)
def problem_of(pattern: str) -> str:
    """Why a pattern cannot be used, as a sentence with a remedy; '' where it can."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    try:
        n_instructions = re2.compile(pattern, options).programsize
    except re2.error as error:
        return _words(error.args[0] if error.args else "")
    if n_instructions > MAX_PROGRAM:
        return (
            f"it takes {n_instructions:,} instructions of RE2, and {MAX_PROGRAM:,} are the limit. "
            "Write smaller repetitions."
        )
    return ""


def _words(reason: bytes | str) -> str:
    said = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    if "too large" in said:
        return "it is too large once its repetitions are written out. Write smaller ones."
    return f"{said[:200]}. It is RE2's syntax: no look-around and no back-references."


def joined(
    text: UInt8[np.ndarray, " bytes"], starts: Int64[np.ndarray, " windows_and_one"]
) -> "pa.LargeStringArray":
    """Windows as an Arrow array on the same memory."""
    import pyarrow as pa

    buffers = [None, pa.py_buffer(starts), pa.py_buffer(text)]
    return pa.LargeStringArray.from_buffers(len(starts) - 1, *buffers[1:])


def time_limit() -> float:
    """When the time is up for what begins now, by this thread's clock."""
    return thread_time() + MAX_SECONDS


def find(
    pattern: str, windows: "pa.LargeStringArray", until: float, *, is_cover: bool = False
) -> Spans:
    """All matches, at offsets of the windows' joined text.

    until     a `time_limit` of this thread; raises InvalidInput where it is over
    is_cover  only which bytes are matched is asked for, so that runs of matches may come as one
    """
    if is_cover and _ONE_CHARACTER.fullmatch(pattern):
        pattern = f"(?:{pattern})+"
    return marked(pattern, b"\xff\\0\xfe", windows, until)


def marked(
    pattern: str, rewrite: bytes, windows: "pa.LargeStringArray", until: float = inf
) -> Spans:
    """What `rewrite` puts between its marks FF and FE, one pair of them a match.

    Without its marks, the rewritten text must be the text. Empty spans at a window's end are left
    out: nothing of the window is there or follows.
    """
    lows, highs, at = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for out, stops in _rewritten(pattern, rewrite, windows, until):
        opens, closes = np.flatnonzero(out == OPEN), np.flatnonzero(out == CLOSE)
        n_before = 2 * np.arange(len(opens))
        is_kept = (closes > opens + 1) | ~np.isin(closes + 1, stops)
        lows.append((opens - n_before + at)[is_kept])
        highs.append((closes - n_before - 1 + at)[is_kept])
        at += len(out) - 2 * len(opens)
    return Spans(np.concatenate(lows), np.concatenate(highs))


def _rewritten(
    pattern: str, rewrite: bytes, windows: "pa.LargeStringArray", until: float
) -> Iterator[tuple[UInt8[np.ndarray, " bytes"], Int64[np.ndarray, " windows"]]]:
    """The windows' rewritten text and their ends in it, in pieces that grow as long as there is
    time."""
    begun, at, n = thread_time(), 0, FIRST_WINDOWS
    while at < len(windows):
        yield _bytes(_replaced(pattern, rewrite, windows.slice(at, n)))
        at += n
        spent = thread_time() - begun
        if thread_time() > until and at < len(windows):
            raise InvalidInput(
                f"The regex /{pattern[:80]}/ takes too long: a rule has {MAX_SECONDS:g} s, and "
                f"they were over after {at:,} of {len(windows):,} windows. Write smaller "
                "repetitions, or fewer of them."
            )
        in_time = int(at * MAX_SECONDS / 4 / max(spent, 1e-3))
        n = max(FIRST_WINDOWS, min(4 * n, in_time))


def _replaced(pattern: str, rewrite: bytes, windows: "pa.LargeStringArray") -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.replace_substring_regex(windows, pattern=pattern, replacement=rewrite)
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"The regex /{pattern[:80]}/ cannot be used: {error}.") from error


def _bytes(array: Any) -> tuple[UInt8[np.ndarray, " bytes"], Int64[np.ndarray, " windows"]]:
    _, offsets, data = array.buffers()
    stops = np.frombuffer(offsets, np.int64)[1 : len(array) + 1]
    if data is None:
        return np.zeros(0, np.uint8), stops
    return np.frombuffer(data, np.uint8, int(stops[-1])), stops
