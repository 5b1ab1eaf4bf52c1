"""Which bytes a position overlaps, for windows of real byte-level tokenizers."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from app.rules.atlas_text import AtlasText, WindowParts, build
from app.rules.vocabulary import Vocabulary
from tests import tiny_tokenizers
from tests.property.texts import texts
from workers.sources.documents import Document
from workers.sources.windows import WindowRecord, WindowSettings, cut_windows

TOKENIZER = tiny_tokenizers.text_tokenizer(tiny_tokenizers.byte_level())
VOCABULARY = Vocabulary(
    [TOKENIZER.token_text(i) for i in range(TOKENIZER.n_tokens)],
    np.array([TOKENIZER.is_special(i) for i in range(TOKENIZER.n_tokens)]),
)


def expected(windows: list[WindowRecord]) -> list[tuple[int, int]]:
    """Each token's bytes in its document, widened to whole characters, in all windows' texts."""
    found, at = [], 0
    for window in windows:
        text, low = bytes(window.text), _first_byte(window)
        for token_id in window.token_ids[1:].tolist():
            high = low + len(TOKENIZER.token_bytes(token_id))
            found.append((at + _back(text, low), at + _forth(text, high)))
            low = high
        at += len(text)
    return found


def _first_byte(window: WindowRecord) -> int:
    """Where the first token begins within a character that the window before begins with."""
    joined = b"".join(TOKENIZER.token_bytes(i) for i in window.token_ids[1:].tolist())
    return next(at for at in range(4) if bytes(window.text)[at:].startswith(joined))


def _back(text: bytes, at: int) -> int:
    while at < len(text) and text[at] & 0xC0 == 0x80:
        at -= 1
    return at


def _forth(text: bytes, at: int) -> int:
    while at < len(text) and text[at] & 0xC0 == 0x80:
        at += 1
    return at


@given(documents=st.lists(texts, max_size=4), context=st.integers(3, 12))
@example(documents=["a é ü東\u0301京 naïve"], context=12)
def test_positions_overlap_all_characters_that_their_tokens_hold_a_part_of(
    documents: list[str], context: int
) -> None:
    named = [Document(str(i), text) for i, text in enumerate(documents)]
    chosen = WindowSettings(context, True, False, None)
    windows = list(cut_windows(named, TOKENIZER, chosen, TOKENIZER.bos_token_id))
    text: AtlasText = build(
        VOCABULARY,
        [
            WindowParts(
                window.document_index,
                window.token_ids.astype("<u4").tobytes(),
                window.starts.astype("<u4").tobytes(),
                bytes(window.text),
                list(window.uncounted),
            )
            for window in windows
        ],
    )
    assert list(zip(text.begins.tolist(), text.ends.tolist(), strict=True)) == expected(windows)
    assert bytes(text.text) == b"".join(bytes(window.text) for window in windows)
