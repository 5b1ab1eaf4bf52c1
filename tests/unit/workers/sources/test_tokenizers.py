"""Tokens as a person reads them, and text that is only ever text."""

import json

import pytest
from tokenizers import Tokenizer

from tests import tiny_tokenizers
from tests.tiny_tokenizers import BOS, text_tokenizer
from workers.sources.tokenizers import TextTokenizer

FAMILIES = [tiny_tokenizers.byte_level, tiny_tokenizers.metaspace, tiny_tokenizers.unigram]
families = pytest.mark.parametrize("make", FAMILIES)
LINES = "def f(x):\n    return x  # the quick brown fox, Größe 東京 👩‍👩‍👧\n"


def ids(tokenizer: TextTokenizer, text: str) -> list[int]:
    return tokenizer.encode_batch([text])[0].ids.tolist()


@families
def test_special_tokens_in_a_text_are_text(make: type[Tokenizer]) -> None:
    tokenizer = text_tokenizer(make())
    found = ids(tokenizer, f"a {BOS} b{BOS}")
    assert tokenizer.bos_token_id not in found
    assert len(found) > 4


@families
def test_ids_are_those_of_the_tokenizer_itself(make: type[Tokenizer]) -> None:
    text = LINES * 3
    assert ids(text_tokenizer(make()), text) == make().encode(text, add_special_tokens=False).ids


@families
def test_bytes_of_tokens_make_the_text(make: type[Tokenizer]) -> None:
    tokenizer = text_tokenizer(make())
    text = "the quick brown fox, again" if make is tiny_tokenizers.unigram else LINES
    joined = b"".join(tokenizer.token_bytes(i) for i in ids(tokenizer, text)).decode()
    is_marked = make is not tiny_tokenizers.byte_level  # puts a space before the first word
    assert joined == " " * is_marked + text


def test_pieces_of_characters_and_nul_are_escaped() -> None:
    tokenizer = text_tokenizer(tiny_tokenizers.byte_level())
    shown = [tokenizer.token_text(i) for i in ids(tokenizer, "👍\0")]
    assert shown == ["\\xf0", "\\x9f", "\\x91", "\\x8d", "\\x00"]


@families
def test_only_the_special_token_is_special(make: type[Tokenizer]) -> None:
    tokenizer = text_tokenizer(make())
    special = {
        tokenizer.token_text(i) for i in range(tokenizer.n_tokens) if tokenizer.is_special(i)
    }
    assert special - {"<unk>"} == {BOS}
    assert tokenizer.max_text_id < tokenizer.n_tokens


def test_trimming_and_truncating_settings_of_the_model_are_left_behind() -> None:
    spec = json.loads(tiny_tokenizers.byte_level().to_str())
    spec["post_processor"] = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    spec["truncation"] = {
        "direction": "Right",
        "max_length": 2,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    tokenizer = text_tokenizer(Tokenizer.from_str(json.dumps(spec)))
    (piece,) = tokenizer.encode_batch(["the quick brown fox"])
    assert piece.starts.tolist()[0] == 0
    assert len(piece.ids) > 2
    assert all(
        "the quick brown fox"[start] == " "
        for start in piece.starts.tolist()
        if "the quick brown fox"[start - 1] in "ekn" and start
    )


def test_the_hash_is_of_what_the_tokenizer_does() -> None:
    backend = tiny_tokenizers.byte_level()
    assert TextTokenizer(backend, 0).hash == TextTokenizer(backend, 0).hash
    assert TextTokenizer(backend, 0).hash != TextTokenizer(backend, None).hash
    assert TextTokenizer(backend, 0).hash != text_tokenizer(tiny_tokenizers.metaspace()).hash
    processed = json.loads(backend.to_str())
    processed["truncation"] = {
        "direction": "Right",
        "max_length": 2,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    same = TextTokenizer(Tokenizer.from_str(json.dumps(processed)), 0)
    assert same.hash == TextTokenizer(backend, 0).hash


@pytest.mark.parametrize("make", FAMILIES[:2])
@pytest.mark.parametrize("piece", [200, 501, 1000])
def test_a_long_text_has_the_same_tokens_in_pieces(make: type[Tokenizer], piece: int) -> None:
    tokenizer = text_tokenizer(make())
    text = "".join(f"{number} {LINES}" for number in range(60))
    (whole,) = tokenizer.encode_batch([text])
    pieces = list(tokenizer.encode_pieces(text, piece=piece, margin=150))
    assert len(pieces) > 3
    assert [i for found in pieces for i in found.ids.tolist()] == whole.ids.tolist()
    assert [i for found in pieces for i in found.starts.tolist()] == whole.starts.tolist()


def test_a_text_without_lines_or_spaces_is_cut_all_the_same() -> None:
    tokenizer = text_tokenizer(tiny_tokenizers.byte_level())
    pieces = list(tokenizer.encode_pieces("x" * 5000, piece=300, margin=100))
    assert pieces[-1].stop == 5000
    assert sum(len(found.ids) for found in pieces) == 5000
