"""A corpus's token windows, read back from the database in batches for the model.

Windows are read a shard at a time and sorted by length. Padding goes on the right, where a causal
model cannot see it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int, Int32, Int64
from sqlalchemy import ARRAY, ColumnElement, Engine, Integer, any_, func, literal, select
from torch import Tensor

from app.models import TokenWindow

SHARD_WINDOWS = 4096


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Windows that go through the model together; `lengths` are tokens without padding."""

    windows: Int32[Tensor, " batch"]
    token_ids: Int64[Tensor, "batch pos"]
    lengths: Int32[Tensor, " batch"]
    is_counted: Bool[Tensor, "batch pos"]
    is_duplicate: Bool[Tensor, " batch"]


@dataclass(frozen=True, slots=True)
class WindowSizes:
    """Of every window of a corpus, by index: tokens, and counted positions among them."""

    lengths: Int32[np.ndarray, " windows"]
    n_counted: Int32[np.ndarray, " windows"]


def read_sizes(engine: Engine, corpus_id: int) -> WindowSizes:
    """The sizes of all windows, 8 bytes a window."""
    n_tokens = func.length(TokenWindow.token_ids) / 4
    n_uncounted = func.cardinality(TokenWindow.uncounted)
    query = (
        select(n_tokens.label("n_tokens"), n_uncounted.label("n_uncounted"))
        .where(TokenWindow.corpus_id == corpus_id)
        .order_by(TokenWindow.index)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    sizes = np.array([(int(a), int(b)) for a, b in rows], dtype=np.int32).reshape(-1, 2)
    return WindowSizes(sizes[:, 0].copy(), sizes[:, 0] - sizes[:, 1])


def read_batches(engine: Engine, corpus_id: int, batch_tokens: int) -> Iterator[WindowBatch]:
    """All windows of a corpus, each once, in batches of about `batch_tokens` tokens."""
    query = (
        select(
            TokenWindow.index,
            TokenWindow.token_ids,
            TokenWindow.uncounted,
            TokenWindow.is_duplicate,
        )
        .where(TokenWindow.corpus_id == corpus_id)
        .order_by(TokenWindow.index)
        .execution_options(yield_per=SHARD_WINDOWS)
    )
    with engine.connect() as connection:
        for shard in connection.execute(query).partitions():
            yield from batches_of(shard, batch_tokens)


def read_windows(
    engine: Engine, corpus_id: int, first: int, last: int, left_out: Int[np.ndarray, " some"]
) -> list[Any]:
    """Windows first to last (exclusive) but those of `left_out`, in the order of `in_order`."""
    chosen = (TokenWindow.index >= first) & (TokenWindow.index < last)
    rows = _read(engine, corpus_id, chosen)
    is_out = np.isin([row[0] for row in rows], left_out)
    return in_order([row for row, out in zip(rows, is_out, strict=True) if not out])


def read_these(engine: Engine, corpus_id: int, windows: Int[np.ndarray, " some"]) -> list[Any]:
    """The windows named, in the order of `in_order`."""
    return in_order(_read(engine, corpus_id, _is_one_of(windows)))


def read_documents_of(
    engine: Engine, corpus_id: int, windows: Int[np.ndarray, " some"]
) -> Int32[np.ndarray, " some"]:
    """The document of each window named, by its index; `windows` ascend."""
    query = (
        select(TokenWindow.document_index)
        .where(TokenWindow.corpus_id == corpus_id, _is_one_of(windows))
        .order_by(TokenWindow.index)
    )
    with engine.connect() as connection:
        return np.array(connection.scalars(query).all(), dtype=np.int32)


def _is_one_of(windows: Int[np.ndarray, " some"]) -> ColumnElement[bool]:
    """As one array: there may be more of them than a statement takes parameters."""
    return TokenWindow.index == any_(literal(windows.tolist(), ARRAY(Integer)))


def _read(engine: Engine, corpus_id: int, chosen: ColumnElement[bool]) -> list[Any]:
    columns = ("index", "token_ids", "uncounted", "is_duplicate")
    query = select(*(getattr(TokenWindow, name) for name in columns))
    with engine.connect() as connection:
        found = connection.execute(query.where(TokenWindow.corpus_id == corpus_id, chosen))
        return list(found)


def in_order(rows: Sequence[Any]) -> list[Any]:
    """Rows (index, token_ids, uncounted, is_duplicate), longest windows first, then by index.

    A batch then holds windows of about one length, and little is computed for padding; and since
    the order is the same everywhere, "the first n" says which of them are done.
    """
    return sorted(rows, key=lambda row: (-len(row[1]), row[0]))


def batches_of(rows: Sequence[Any], batch_tokens: int) -> Iterator[WindowBatch]:
    """Rows in batches of about `batch_tokens` tokens, in the order of `in_order`."""
    rows, at = in_order(rows), 0
    while at < len(rows):
        longest = max(len(rows[at][1]) // 4, 1)
        n_windows = max(batch_tokens // longest, 1)
        yield _batch(rows[at : at + n_windows])
        at += n_windows


def _batch(rows: Sequence[Any]) -> WindowBatch:
    n_pos = max(len(row[1]) // 4 for row in rows)
    token_ids = np.zeros((len(rows), n_pos), dtype=np.int64)
    lengths: Int[np.ndarray, " batch"] = np.zeros(len(rows), dtype=np.int32)
    is_counted = np.zeros((len(rows), n_pos), dtype=bool)
    for i, (_, packed, uncounted, _) in enumerate(rows):
        ids = np.frombuffer(packed, dtype="<u4")
        token_ids[i, : len(ids)], lengths[i] = ids, len(ids)
        is_counted[i, : len(ids)] = True
        is_counted[i, list(uncounted)] = False
    return WindowBatch(
        windows=torch.tensor([row[0] for row in rows], dtype=torch.int32),
        token_ids=torch.from_numpy(token_ids),
        lengths=torch.from_numpy(lengths),
        is_counted=torch.from_numpy(is_counted),
        is_duplicate=torch.tensor([row[3] for row in rows], dtype=torch.bool),
    )
