"""Token windows: documents cut into runs of at most `context` tokens.

A window is a put-in BOS (if asked for) and the next tokens of its document; the last one of a
document may be shorter. Packed windows run on into the next document, after one more BOS. The
windows' texts, each put at its `char_start`, give back every character of a document: characters
that the tokenizer drops belong to the token before them (at the very start, to the first), and a
character whose tokens fall into two windows is in both.

Cost: the tokenizer's, plus some microseconds a window. Memory: one batch of documents and 16 bytes
a window, to know duplicates.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt32

from app.errors import InvalidInput
from workers.sources.documents import Document
from workers.sources.tokenizers import PIECE_CHARS, Piece, TextTokenizer

MAX_CONTEXT = 32767
"""Positions are stored in 16 bits."""
_BATCH_DOCUMENTS = 256


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """What shapes the windows; part of a corpus's identity.

    `context` counts a put-in BOS. `n_tokens` bounds the counted positions of the whole corpus.
    """

    context: int
    has_bos: bool
    is_packed: bool
    n_tokens: int | None = None

    def __post_init__(self) -> None:
        least = 2 if self.has_bos else 1
        if not least <= self.context <= MAX_CONTEXT:
            bos = " with a BOS" if self.has_bos else ""
            raise InvalidInput(
                f"--context {self.context}: windows{bos} have {least} to {MAX_CONTEXT} tokens."
            )
        if self.n_tokens is not None and self.n_tokens < 1:
            raise InvalidInput(f"--tokens {self.n_tokens}: wanted 1 or more, or none for all.")


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """One row of `windows` (app.models.corpora.TokenWindow says what each field means).

    `last_document_index` differs from `document_index` where windows are packed.
    """

    index: int
    document_index: int
    char_start: int
    token_ids: UInt32[np.ndarray, " pos"]
    starts: UInt32[np.ndarray, " pos"]
    text: bytes
    uncounted: tuple[int, ...]
    is_duplicate: bool
    last_document_index: int

    @property
    def n_counted(self) -> int:
        """Positions that count: all but put-in tokens."""
        return len(self.token_ids) - len(self.uncounted)


def cut_windows(
    documents: Iterable[Document],
    tokenizer: TextTokenizer,
    settings: WindowSettings,
    bos_token_id: int | None,
) -> Iterator[WindowRecord]:
    """The windows of `documents` in order, with exactly `settings.n_tokens` counted at most.

    `bos_token_id` must be there if `settings.has_bos`. Documents without tokens have no window.
    """
    put_in = bos_token_id if settings.has_bos else None
    if settings.has_bos and put_in is None:
        raise InvalidInput("Windows with a BOS need a tokenizer that has one: use --bos no.")
    left = settings.n_tokens
    duplicates: set[bytes] = set()
    window = _Window(put_in, settings.context)
    index = 0
    for part in _parts(documents, tokenizer):
        done = 0
        while done < len(part.piece.ids):
            if window.must_end_before(part, is_packed=settings.is_packed):
                yield window.close(index, duplicates)
                window, index = _Window(put_in, settings.context), index + 1
            n_taken = window.take(part, done, left)
            done += n_taken
            left = None if left is None else left - n_taken
            if left == 0:
                yield window.close(index, duplicates)
                return
    if window.segments:
        yield window.close(index, duplicates)


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a document's tokens."""

    document_index: int
    text: str
    piece: Piece


@dataclass(slots=True)
class _Segment:
    """The characters [low, high) of one document, which start at `offset` of a window's text."""

    document_index: int
    text: str
    low: int
    high: int
    offset: int


@dataclass(slots=True)
class _Window:
    """A window that is being filled."""

    put_in: int | None
    context: int
    ids: list[UInt32[np.ndarray, " pos"]] = field(default_factory=list)
    starts: list[UInt32[np.ndarray, " pos"]] = field(default_factory=list)
    segments: list[_Segment] = field(default_factory=list)
    uncounted: list[int] = field(default_factory=list)
    size: int = 0

    def must_end_before(self, part: _Part, *, is_packed: bool) -> bool:
        """Whether the next token of `part` needs another window."""
        if not self.segments:
            return False
        if self.segments[-1].document_index == part.document_index:
            return self.size >= self.context
        room_wanted = 1 if self.put_in is None else 2
        return not is_packed or self.size + room_wanted > self.context

    def take(self, part: _Part, first: int, at_most: int | None) -> int:
        """Adds tokens of `part` from `first` on; how many."""
        piece = part.piece
        segment = self._segment_for(part, int(piece.starts[first]))
        n_wanted = len(piece.ids) - first
        n = min(self.context - self.size, n_wanted, n_wanted if at_most is None else at_most)
        last = first + n
        stop = int(piece.starts[last]) if last < len(piece.ids) else piece.stop
        segment.high = max(stop, int(piece.ends[first:last].max()))
        base = segment.offset - segment.low
        self.ids.append(piece.ids[first:last])
        self.starts.append((piece.starts[first:last].astype(np.int64) + base).astype(np.uint32))
        self.size += n
        return n

    def close(self, index: int, duplicates: set[bytes]) -> WindowRecord:
        """The finished record; remembers its tokens in `duplicates`."""
        token_ids = np.concatenate(self.ids)
        digest = hashlib.blake2b(token_ids.astype("<u4").tobytes(), digest_size=16).digest()
        is_duplicate = digest in duplicates
        duplicates.add(digest)
        return WindowRecord(
            index=index,
            document_index=self.segments[0].document_index,
            char_start=self.segments[0].low,
            token_ids=token_ids,
            starts=np.concatenate(self.starts),
            text="".join(part.text[part.low : part.high] for part in self.segments).encode(),
            uncounted=tuple(self.uncounted),
            is_duplicate=is_duplicate,
            last_document_index=self.segments[-1].document_index,
        )

    def _segment_for(self, part: _Part, low: int) -> _Segment:
        if self.segments and self.segments[-1].document_index == part.document_index:
            return self.segments[-1]
        offset = 0
        if self.segments:
            before = self.segments[-1]
            offset = before.offset + before.high - before.low
        if self.put_in is not None:
            self.uncounted.append(self.size)
            self.ids.append(np.array([self.put_in], dtype=np.uint32))
            self.starts.append(np.array([offset], dtype=np.uint32))
            self.size += 1
        self.segments.append(_Segment(part.document_index, part.text, low, low, offset))
        return self.segments[-1]


def _parts(documents: Iterable[Document], tokenizer: TextTokenizer) -> Iterator[_Part]:
    """The documents' tokens in order; short documents are tokenized together, in parallel."""
    batch: list[tuple[int, str]] = []
    n_chars = 0
    for index, document in enumerate(documents):
        batch.append((index, document.text))
        n_chars += len(document.text)
        if n_chars >= PIECE_CHARS or len(batch) == _BATCH_DOCUMENTS:
            yield from _encode(batch, tokenizer)
            batch, n_chars = [], 0
    yield from _encode(batch, tokenizer)


def _encode(batch: list[tuple[int, str]], tokenizer: TextTokenizer) -> Iterator[_Part]:
    short = [text for _, text in batch if len(text) <= PIECE_CHARS]
    pieces = iter(tokenizer.encode_batch(short))
    for index, text in batch:
        if len(text) <= PIECE_CHARS:
            yield _Part(index, text, next(pieces))
        else:
            yield from (_Part(index, text, piece) for piece in tokenizer.encode_pieces(text))
