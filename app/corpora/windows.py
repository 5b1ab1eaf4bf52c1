"""Token windows as people read them: which characters of the text each token covers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

from app.language_models.queries import token_texts
from app.models import TokenWindow

UINT32 = np.dtype("<u4")
SURROGATE = re.compile("[\ud800-\udfff]")


def unpack(packed: bytes) -> list[int]:
    """Little-endian uint32 values, one a token."""
    values: list[int] = np.frombuffer(packed, dtype=UINT32).tolist()
    return values


def text_of(window: TokenWindow) -> str:
    """The window's text, character for character as `starts` counts them.

    A lone surrogate, which UTF-8 proper cannot carry, is shown as U+FFFD so that JSON and HTML can
    hold it without moving any offset.
    """
    try:
        return window.text.decode("utf-8")
    except UnicodeDecodeError:
        text = window.text.decode("utf-8", errors="surrogatepass")
        return SURROGATE.sub("\ufffd", text)


def token_strings(text: str, starts: Sequence[int], put_in: Mapping[int, str]) -> list[str]:
    """One string for each token; those of the counted tokens join to `text` exactly.

    A counted token gets the characters from its start to the next greater start: of tokens that
    share a start the first gets all, the rest ''. `put_in` gives the strings of the put-in tokens
    by position (only the vocabulary knows them); they get no character of the text.
    """
    strings = [""] * len(starts)
    owner, begin = None, 0
    for pos, start in enumerate(starts):
        if pos in put_in:
            strings[pos] = put_in[pos]
        elif owner is None:
            owner = pos
        elif start > begin:
            strings[owner] = text[begin:start]
            owner, begin = pos, start
    if owner is not None:
        strings[owner] = text[begin:]
    return strings


@dataclass(frozen=True, slots=True)
class ReadWindow:
    """A window's tokens as lists, with the string of each."""

    text: str
    token_ids: list[int]
    tokens: list[str]


def read_windows(
    session: Session, tokenizer_id: int, windows: Sequence[TokenWindow]
) -> list[ReadWindow]:
    """The windows' tokens; one query for the strings of all their put-in tokens."""
    ids = [unpack(window.token_ids) for window in windows]
    put_in = [
        {pos: row[pos] for pos in window.uncounted}
        for window, row in zip(windows, ids, strict=True)
    ]
    names = token_texts(session, tokenizer_id, (i for found in put_in for i in found.values()))
    return [
        _read(window, row, {pos: names[i] for pos, i in found.items()})
        for window, row, found in zip(windows, ids, put_in, strict=True)
    ]


def _read(window: TokenWindow, token_ids: list[int], put_in: dict[int, str]) -> ReadWindow:
    text = text_of(window)
    tokens = token_strings(text, unpack(window.starts), put_in)
    return ReadWindow(text, token_ids, tokens)
