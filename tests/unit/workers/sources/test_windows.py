"""Window settings that make no sense are refused where they are given."""

import pytest

from app.errors import InvalidInput
from tests import tiny_tokenizers
from workers.sources.documents import Document
from workers.sources.windows import WindowSettings, cut_windows


@pytest.mark.parametrize(
    ("context", "has_bos"), [(0, False), (1, True), (-5, False), (32768, True), (10**9, False)]
)
def test_a_context_that_cannot_be_is_refused(context: int, has_bos: bool) -> None:
    with pytest.raises(InvalidInput, match=f"--context {context}: windows"):
        WindowSettings(context, has_bos, is_packed=False)


@pytest.mark.parametrize("n_tokens", [0, -1])
def test_a_budget_below_one_token_is_refused(n_tokens: int) -> None:
    with pytest.raises(InvalidInput, match=f"--tokens {n_tokens}: wanted 1 or more"):
        WindowSettings(8, has_bos=True, is_packed=False, n_tokens=n_tokens)


def test_a_bos_that_the_tokenizer_lacks_is_refused() -> None:
    tokenizer = tiny_tokenizers.text_tokenizer(tiny_tokenizers.byte_level())
    windows = cut_windows([], tokenizer, WindowSettings(8, True, False), None)
    with pytest.raises(InvalidInput, match="use --bos no"):
        next(windows)


def test_documents_longer_than_a_piece_are_cut_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tiny_tokenizers.text_tokenizer(tiny_tokenizers.byte_level())
    text = "".join(f"line {number}: the quick brown fox\n" for number in range(400))
    documents = [Document("a", "short"), Document("b", text), Document("c", "short")]
    settings = WindowSettings(32, True, False)
    whole = list(cut_windows(documents, tokenizer, settings, 0))
    monkeypatch.setattr("workers.sources.windows.PIECE_CHARS", 3000)
    monkeypatch.setattr(
        tokenizer,
        "encode_pieces",
        lambda text: type(tokenizer).encode_pieces(tokenizer, text, piece=3000, margin=200),
    )
    pieces = list(cut_windows(documents, tokenizer, settings, 0))
    assert [w.token_ids.tolist() for w in pieces] == [w.token_ids.tolist() for w in whole]
    assert [(w.char_start, w.text) for w in pieces] == [(w.char_start, w.text) for w in whole]
