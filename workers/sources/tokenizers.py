"""Tokenizers: text in, token ids and the characters that each covers out.

Text is text: nothing in it is taken for a special token, and none is added. Ids come from a copy
of the model's own fast tokenizer without its post-processor, whose only other work would be to
trim the characters that tokens cover.
"""

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import UInt32
from tokenizers import Tokenizer

from app.errors import InvalidInput
from workers.sources.model_files import ModelFiles

PIECE_CHARS = 1 << 20
MARGIN_CHARS = 1 << 12
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE_MARK = "▁"
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "*.tiktoken")
"""Without one of these, transformers makes up an empty tokenizer."""
_PRIVATE = "\U000f0000"
"""A private use character, which no text has a use for."""
_NO_ROLE = ("post_processor", "truncation", "padding")
"""Parts of a tokenizer that change nothing about which ids a text becomes here."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens of a stretch of one text: [starts[0], stop), in characters of the whole text.

    `starts` never decrease; `ends` are where the characters that a token covers end. Characters
    that the tokenizer drops lie between one token's end and the next one's start. Tokens that
    share a character start at the same one.
    """

    ids: UInt32[np.ndarray, " pos"]
    starts: UInt32[np.ndarray, " pos"]
    ends: UInt32[np.ndarray, " pos"]
    stop: int


class TextTokenizer:
    """A fast tokenizer for plain text, and what its tokens look like to a person."""

    def __init__(self, backend: Tokenizer, bos_token_id: int | None) -> None:
        """Takes a copy of `backend`, whose truncation and padding are left behind."""
        self.spec: dict[str, Any] = json.loads(backend.to_str())
        self.spec.update(dict.fromkeys(_NO_ROLE))
        self._added = {token["id"]: token for token in copy.deepcopy(self.spec["added_tokens"])}
        _hide_special_pieces(self.spec)
        self.backend = Tokenizer.from_str(json.dumps(self.spec))
        self.backend.encode_special_tokens = True
        self.bos_token_id = bos_token_id

    @cached_property
    def hash(self) -> str:
        """blake2b of all that decides how text becomes ids, the BOS included; 32 hex digits."""
        what = json.dumps([self.spec, self.bos_token_id], sort_keys=True)
        return hashlib.blake2b(what.encode(), digest_size=16).hexdigest()

    @cached_property
    def n_tokens(self) -> int:
        """One more than the greatest id with a meaning."""
        return 1 + max(self.backend.get_vocab(with_added_tokens=True).values(), default=-1)

    @cached_property
    def max_text_id(self) -> int:
        """The greatest id that plain text can become (-1 for an empty vocabulary)."""
        plain = self.backend.get_vocab(with_added_tokens=True).values()
        return max((i for i in plain if not self._is_special(i)), default=-1)

    def encode_batch(self, texts: Sequence[str]) -> list[Piece]:
        """The tokens of each text, in parallel; for texts that fit into memory several times."""
        encodings = self.backend.encode_batch(texts, add_special_tokens=False)
        return [
            _piece(encoding, 0, len(text)) for encoding, text in zip(encodings, texts, strict=True)
        ]

    def encode_pieces(
        self, text: str, *, piece: int = PIECE_CHARS, margin: int = MARGIN_CHARS
    ) -> Iterator[Piece]:
        """The tokens of a text of any length, about `piece` characters at a time.

        Every piece is tokenized with `margin` characters before and after it, and pieces meet
        where a token starts, at a line's start if there is one: the same tokens as in one go, for
        any tokenizer whose choices depend on less than `margin` characters around.
        """
        start = 0
        while True:
            origin = max(0, start - margin)
            reach = min(len(text), start + piece + margin)
            (encoding,) = self.backend.encode_batch([text[origin:reach]], add_special_tokens=False)
            found = _piece(encoding, origin, reach)
            found = _slice(found, int(np.searchsorted(found.starts, start)), None, reach)
            if reach == len(text):
                yield found
                return
            cut = _meeting_point(text, found, start + piece)
            if cut == 0:
                piece *= 2  # one token, or tokens of one character, over the whole piece
                continue
            start = int(found.starts[cut])
            yield _slice(found, 0, cut, start)

    def token_bytes(self, token_id: int) -> bytes:
        """What the token adds to a text, as far as one can say without its neighbours."""
        token = self.backend.id_to_token(token_id)
        if token is None:
            return b""
        if token_id in self._added:
            return str(self._added[token_id]["content"]).encode()
        if self._is_byte_level:
            alphabet = _byte_alphabet()
            if all(char in alphabet for char in token):
                return bytes(alphabet[char] for char in token)
            return str(token).encode()
        if self._has_byte_tokens and (byte := _BYTE_TOKEN.fullmatch(token)):
            return bytes([int(byte[1], 16)])
        prefix = self.spec["model"].get("continuing_subword_prefix") or ""
        if prefix and token.startswith(prefix):
            token = token.removeprefix(prefix)
        return str(token).replace(_SPACE_MARK, " " if self._marks_spaces else _SPACE_MARK).encode()

    def token_text(self, token_id: int) -> str:
        """The token for a person: bytes that are not a whole character, and NUL, as escapes."""
        text = self.token_bytes(token_id).decode("utf-8", "backslashreplace")
        return text.replace("\0", "\\x00")

    def is_special(self, token_id: int) -> bool:
        """Whether the token stands for no text: BOS, EOS, padding, roles in a chat."""
        return token_id == self.bos_token_id or self._is_special(token_id)

    def _is_special(self, token_id: int) -> bool:
        return token_id in self._added and bool(self._added[token_id]["special"])

    @cached_property
    def _is_byte_level(self) -> bool:
        return any(part.get("type") == "ByteLevel" for part in self._parts)

    @cached_property
    def _has_byte_tokens(self) -> bool:
        return bool(self.spec["model"].get("byte_fallback"))

    @cached_property
    def _marks_spaces(self) -> bool:
        return any(_SPACE_MARK in json.dumps(part, ensure_ascii=False) for part in self._parts)

    @cached_property
    def _parts(self) -> list[dict[str, Any]]:
        """Normalizers, pre-tokenizers and decoders, sequences taken apart."""
        inner = {
            "normalizer": "normalizers",
            "pre_tokenizer": "pretokenizers",
            "decoder": "decoders",
        }
        parts = []
        for role, plural in inner.items():
            if part := self.spec.get(role):
                parts += part.get(plural, [part])
        return parts


def load_tokenizer(files: ModelFiles, *, trust_remote_code: bool) -> TextTokenizer:
    """The tokenizer that lies beside a model.

    Raises InvalidInput where there is none, or none that tells which characters a token covers.
    """
    from transformers import AutoTokenizer

    if not any(next(files.directory.glob(name), None) for name in _VOCABULARIES):
        raise InvalidInput(
            f"There is no tokenizer beside {files.name}: {files.directory} holds no tokenizer.json."
        )
    try:
        loaded = AutoTokenizer.from_pretrained(
            files.directory, use_fast=True, trust_remote_code=trust_remote_code
        )
    except Exception as error:
        raise InvalidInput(f"The tokenizer of {files.name} cannot be loaded: {error}") from error
    backend = getattr(loaded, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise InvalidInput(
            f"The tokenizer of {files.name} ({type(loaded).__name__}) has no fast version, so it "
            "cannot say which characters a token covers. Put a tokenizer.json beside the model."
        )
    bos = loaded.bos_token_id
    if bos is None:
        bos = files.config.get("bos_token_id")
    return TextTokenizer(backend, bos if isinstance(bos, int) else None)


def _piece(encoding: Any, origin: int, stop: int) -> Piece:
    """An encoding with its characters counted from `origin`; the first token takes what is before.

    Offsets of some tokenizers step back by a character now and then; ours never do.
    """
    ids = np.array(encoding.ids, dtype=np.uint32)
    flat = np.fromiter(chain.from_iterable(encoding.offsets), dtype=np.int64, count=2 * len(ids))
    starts = np.maximum.accumulate(flat[0::2]) + origin
    if len(starts):
        starts[starts == starts[0]] = origin
    starts = np.minimum(starts, stop)
    ends = np.clip(flat[1::2] + origin, starts, stop)
    return Piece(ids, starts.astype(np.uint32), ends.astype(np.uint32), stop)


def _slice(piece: Piece, low: int, high: int | None, stop: int) -> Piece:
    return Piece(piece.ids[low:high], piece.starts[low:high], piece.ends[low:high], stop)


def _meeting_point(text: str, piece: Piece, near: int) -> int:
    """A token at or before character `near` that shares no character with the one before it.

    0 where there is none but the first. At a line's start if possible, where tokenizers agree.
    """
    high = int(np.searchsorted(piece.starts, near, side="right"))
    fresh = np.flatnonzero(piece.starts[1:high] > piece.starts[: max(high - 1, 0)]) + 1
    for index in fresh[::-1][:MARGIN_CHARS]:
        if text[int(piece.starts[index]) - 1] == "\n":
            return int(index)
    return int(fresh[-1]) if len(fresh) else 0


def _hide_special_pieces(spec: dict[str, Any]) -> None:
    """Renames a Unigram model's special pieces, or it would read `</s>` in a text as the token."""
    model = spec["model"]
    if model.get("type") != "Unigram":
        return
    special = {token["content"] for token in spec["added_tokens"] if token["special"]}
    for token in spec["added_tokens"]:
        if token["special"]:
            token["content"] = f"{_PRIVATE}{token['content']}{_PRIVATE}"
    for index, (piece, score) in enumerate(model["vocab"]):
        if piece in special:
            model["vocab"][index] = [f"{_PRIVATE}{piece}{_PRIVATE}", score]


@cache
def _byte_alphabet() -> dict[str, int]:
    """The printable character that byte-level BPE writes for each byte, as GPT-2 chose them."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(0x100 + i): byte for i, byte in enumerate(others)})
    return alphabet
