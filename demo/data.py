"""Token streams of the two sides of the split, and the windows cut from them.

A stream is every document's tokens in order of name, each document preceded by `<|endoftext|>`.
Every training window is `<|endoftext|>` and the tokens from an arbitrary place of the stream, which
is what the model is shown ever after: a scan's windows start with BOS in the middle of a document.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int
from tokenizers import Tokenizer
from torch import Tensor

from demo.config import CONTEXT_LENGTH, END_OF_TEXT_ID
from workers.sources.stdlib import side, stdlib_texts


@dataclass(frozen=True)
class Split:
    """One side of the split as a token stream."""

    tokens: Int[Tensor, " pos"]
    n_documents: int
    n_bytes: int


def tokenize_split(tokenizer: Tokenizer, *, held_out: bool) -> Split:
    """Tokenize one side of the split; about ten million tokens take ten seconds."""
    texts = [text for _, text in side(stdlib_texts().documents, held_out=held_out)]
    ids: list[int] = []
    for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False):
        ids.append(END_OF_TEXT_ID)
        ids.extend(encoding.ids)
    n_bytes = sum(len(text.encode()) for text in texts)
    return Split(torch.tensor(ids, dtype=torch.int32), len(texts), n_bytes)


def windows(
    stream: Int[Tensor, " pos"], *, start: int = 0, length: int = CONTEXT_LENGTH
) -> Int[Tensor, "windows pos"]:
    """Cut `stream[start:]` into runs of `length` tokens, BOS before each; the rest is dropped.

    A row has `length + 1` tokens: the first `length` are a model's input, the last `length` its
    targets.
    """
    n_windows = (len(stream) - start) // length
    runs = stream[start : start + n_windows * length].reshape(n_windows, length)
    bos = torch.full((n_windows, 1), END_OF_TEXT_ID, dtype=runs.dtype)
    return torch.cat([bos, runs], dim=1)


def training_batches(
    stream: Int[Tensor, " pos"], batch_size: int, generator: torch.Generator
) -> Iterator[Int[Tensor, "batch pos"]]:
    """Endless shuffled batches; each epoch cuts the stream at a new place.

    The same tokens then meet different contexts and positions in each epoch.
    """
    while True:
        start = int(torch.randint(CONTEXT_LENGTH, (), generator=generator))
        rows = windows(stream, start=start)
        order = torch.randperm(len(rows), generator=generator)
        for chosen in torch.split(order, batch_size):
            if len(chosen) == batch_size:
                yield rows[chosen].long()
