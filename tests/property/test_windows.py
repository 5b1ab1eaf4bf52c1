"""Windows of any text, by any of the tokenizer families, give the text back."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tiny_tokenizers
from tests.property.texts import texts
from workers.sources.documents import Document
from workers.sources.tokenizers import TextTokenizer
from workers.sources.windows import WindowRecord, WindowSettings, cut_windows

FAMILIES = {
    name: tiny_tokenizers.text_tokenizer(make())
    for name, make in {
        "byte-level": tiny_tokenizers.byte_level,
        "metaspace": tiny_tokenizers.metaspace,
        "unigram": tiny_tokenizers.unigram,
    }.items()
}
tokenizers = pytest.mark.parametrize("tokenizer", FAMILIES.values(), ids=FAMILIES.keys())
documents = st.lists(texts, max_size=5)
contexts = st.integers(2, 12)
Check = Callable[..., None]


def cut(
    tokenizer: TextTokenizer,
    texts: list[str],
    context: int,
    *,
    has_bos: bool = True,
    is_packed: bool = False,
    n_tokens: int | None = None,
) -> list[WindowRecord]:
    chosen = WindowSettings(context, has_bos, is_packed, n_tokens)
    named = [Document(str(index), text) for index, text in enumerate(texts)]
    return list(cut_windows(named, tokenizer, chosen, tokenizer.bos_token_id))


def reassemble(windows: list[WindowRecord], n_documents: int) -> list[str]:
    found = [""] * n_documents
    for window in windows:
        before = found[window.document_index]
        assert len(before) >= window.char_start, "a gap"
        found[window.document_index] = before[: window.char_start] + window.text.decode()
    return found


def all_ids(tokenizer: TextTokenizer, text: str) -> list[int]:
    return list(tokenizer.backend.encode(text, add_special_tokens=False).ids)


def counted(window: WindowRecord) -> list[int]:
    kept = np.ones(len(window.token_ids), dtype=bool)
    kept[list(window.uncounted)] = False
    return window.token_ids[kept].tolist()


@tokenizers
@given(texts=documents, context=contexts, has_bos=st.booleans())
@settings(deadline=None)
def test_texts_of_windows_give_the_documents_back(
    tokenizer: TextTokenizer, texts: list[str], context: int, has_bos: bool
) -> None:
    windows = cut(tokenizer, texts, context, has_bos=has_bos)
    with_tokens = [text if all_ids(tokenizer, text) else "" for text in texts]
    assert reassemble(windows, len(texts)) == with_tokens


@tokenizers
@given(texts=documents, context=contexts, has_bos=st.booleans())
@settings(deadline=None)
def test_windows_hold_each_documents_tokens_in_order_and_full_but_for_the_last(
    tokenizer: TextTokenizer, texts: list[str], context: int, has_bos: bool
) -> None:
    windows = cut(tokenizer, texts, context, has_bos=has_bos)
    for index, text in enumerate(texts):
        own = [window for window in windows if window.document_index == index]
        assert [i for window in own for i in counted(window)] == all_ids(tokenizer, text)
        assert all(len(window.token_ids) == context for window in own[:-1])
    assert [window.index for window in windows] == list(range(len(windows)))


@tokenizers
@given(texts=documents, context=contexts)
@settings(deadline=None)
def test_every_window_starts_with_an_uncounted_bos_and_its_tokens_start_inside_its_text(
    tokenizer: TextTokenizer, texts: list[str], context: int
) -> None:
    for window in cut(tokenizer, texts, context):
        n_chars = len(window.text.decode())
        assert window.uncounted == (0,)
        assert window.token_ids[0] == tokenizer.bos_token_id
        assert window.starts[0] == window.starts[1] == 0
        assert np.all(np.diff(window.starts.astype(int)) >= 0)
        assert window.starts[-1] < n_chars


@tokenizers
@given(texts=documents, context=contexts, n_tokens=st.integers(1, 60), is_packed=st.booleans())
@settings(deadline=None)
def test_exactly_the_asked_for_tokens_are_counted(
    tokenizer: TextTokenizer, texts: list[str], context: int, n_tokens: int, is_packed: bool
) -> None:
    windows = cut(tokenizer, texts, context, n_tokens=n_tokens, is_packed=is_packed)
    there = [i for text in texts for i in all_ids(tokenizer, text)]
    assert [i for window in windows for i in counted(window)] == there[:n_tokens]


@tokenizers
@given(texts=documents, context=contexts, has_bos=st.booleans())
@settings(deadline=None)
def test_packed_windows_run_on_and_keep_every_character(
    tokenizer: TextTokenizer, texts: list[str], context: int, has_bos: bool
) -> None:
    windows = cut(tokenizer, texts, context, has_bos=has_bos, is_packed=True)
    there = [i for text in texts for i in all_ids(tokenizer, text)]
    assert [i for window in windows for i in counted(window)] == there
    least = context - 1 if has_bos else context  # no BOS without a token after it
    assert all(len(window.token_ids) >= least for window in windows[:-1])
    assert all((window.token_ids[0] == tokenizer.bos_token_id) == has_bos for window in windows)
    for window in windows:
        assert all(window.token_ids[at] == tokenizer.bos_token_id for at in window.uncounted)
        assert window.starts[-1] < len(window.text.decode())


@tokenizers
@given(texts=documents, context=contexts, has_bos=st.booleans())
@settings(deadline=None)
def test_packed_windows_that_hold_whole_documents_hold_their_text(
    tokenizer: TextTokenizer, texts: list[str], context: int, has_bos: bool
) -> None:
    windows = cut(tokenizer, texts, 1000, has_bos=has_bos, is_packed=True)
    joined = "".join(text for text in texts if all_ids(tokenizer, text))
    assert "".join(window.text.decode() for window in windows) == joined


@tokenizers
@given(texts=documents, context=contexts)
@settings(deadline=None)
def test_a_window_is_a_duplicate_if_an_earlier_one_has_its_tokens(
    tokenizer: TextTokenizer, texts: list[str], context: int
) -> None:
    seen: set[tuple[int, ...]] = set()
    for window in cut(tokenizer, [*texts, *texts], context):
        key = tuple(window.token_ids.tolist())
        assert window.is_duplicate == (key in seen)
        seen.add(key)


@tokenizers
@given(
    lines=st.lists(texts, min_size=1, max_size=30), piece=st.integers(20, 80), n=st.integers(1, 3)
)
@settings(deadline=None)
def test_pieces_of_a_long_text_cover_it_without_gap_or_overlap(
    tokenizer: TextTokenizer, lines: list[str], piece: int, n: int
) -> None:
    text = "\n".join(lines * n)
    stop = 0
    for found in tokenizer.encode_pieces(text, piece=piece, margin=20):
        assert not len(found.ids) or found.starts[0] == stop
        assert np.all(np.diff(found.starts.astype(int)) >= 0)
        assert found.stop >= stop
        stop = found.stop
    assert stop == len(text)
