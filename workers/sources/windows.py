"""Token windows: documents cut into runs of at most `context` tokens."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt32

from workers.sources.documents import Document


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """What shapes the windows; part of a corpus's identity.

    `context` counts a put-in BOS. `n_tokens` bounds the counted positions of the whole corpus.
    """

    context: int
    has_bos: bool
    is_packed: bool
    n_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """One row of `windows` (app.models.corpora.TokenWindow says what each field means)."""

    index: int
    document_index: int
    char_start: int
    token_ids: UInt32[np.ndarray, " pos"]
    starts: UInt32[np.ndarray, " pos"]
    text: bytes
    uncounted: tuple[int, ...]
    is_duplicate: bool

    @property
    def n_counted(self) -> int:
        """Positions that count: all but put-in tokens."""
        return len(self.token_ids) - len(self.uncounted)


def cut_windows(
    documents: Iterable[Document],
    tokenizer: Any,
    settings: WindowSettings,
    bos_token_id: int | None,
) -> Iterator[WindowRecord]:
    """The windows of `documents` in order."""
    raise NotImplementedError
