"""Reading examples: packed levels, windows and documents put together."""

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from app.codec import N_LEVELS, Scale, level_values
from app.corpora.queries import with_document
from app.corpora.windows import ReadWindow, read_windows
from app.cursors import DEFAULT_LIMIT
from app.models import Corpus, Examples, TokenWindow, UnitStats
from app.sources.queries import CurrentScan, find_unit
from app.units.intervals import intervals_of
from app.units.schemas import Example, ExampleKind, Interval

DIGITS = 6  # of the largest activation shown: far finer than its 8 bits


def list_examples(
    session: Session,
    model: str,
    source: str,
    index: int,
    kind: ExampleKind = "top",
    corpus: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> list[Example]:
    """A unit's examples of one kind over one corpus (by default the largest), best first.

    Empty where the unit has none of the kind, as a dead one or one that is never negative.
    Raises NotFound for a model, source, index or corpus that is not there.
    """
    found = find_unit(session, model, source, index)
    scan = found.scan_over(corpus)
    key = (scan.scan.id, found.source.id, index)
    packed = session.get(Examples, (*key, kind))
    if packed is None:
        return []
    bands = _intervals(session, key) if packed.intervals else []
    shown = _windows(session, scan.corpus, packed.windows)
    return [
        _example(packed, i, scan, shown[window], levels, bands)
        for i, (window, levels) in enumerate(_unpack(packed, shown))
        if i < limit
    ]


@dataclass(frozen=True, slots=True)
class _Shown:
    """A window with all that an example shows of it."""

    window: TokenWindow
    document: str
    read: ReadWindow


def _windows(session: Session, corpus: Corpus, indices: list[int]) -> dict[int, _Shown]:
    query = with_document(corpus.id).where(TokenWindow.index.in_(sorted(set(indices))))
    rows = session.execute(query).all()
    read = read_windows(session, corpus.tokenizer_id, [window for window, _ in rows])
    return {
        window.index: _Shown(window, document, tokens)
        for (window, document), tokens in zip(rows, read, strict=True)
    }


def _intervals(session: Session, key: tuple[int, int, int]) -> list[Interval]:
    row = session.execute(
        select(
            UnitStats.interval_edges,
            UnitStats.interval_counts,
            UnitStats.interval_mass,
            UnitStats.interval_share_errors,
            UnitStats.interval_mass_errors,
        ).where(tuple_(UnitStats.scan_id, UnitStats.source_id, UnitStats.index) == tuple_(*key))
    ).one_or_none()
    return [] if row is None else intervals_of(*row)


def _unpack(packed: Examples, shown: dict[int, _Shown]) -> Iterator[tuple[int, bytes]]:
    """Each example's window and its levels, one byte a token of the window."""
    levels, begin = zlib.decompress(packed.levels), 0
    for window in packed.windows:
        end = begin + len(shown[window].read.token_ids)
        yield window, levels[begin:end]
        begin = end
    assert begin == len(levels), f"examples of unit {packed.index}: levels and windows disagree"


def _example(
    packed: Examples,
    i: int,
    scan: CurrentScan,
    shown: _Shown,
    levels: bytes,
    bands: list[Interval],
) -> Example:
    window, read = shown.window, shown.read
    values = _values(Scale(packed.lows[i], packed.highs[i]))
    activations: list[float | None] = [values[level] for level in levels]
    activations[packed.max_positions[i]] = packed.highs[i]
    activations[packed.positions[i]] = packed.values[i]
    for pos in window.uncounted:
        activations[pos] = None
    return Example(
        corpus=scan.corpus.slug,
        window=window.index,
        document=shown.document,
        char_start=window.char_start,
        text=read.text,
        token_ids=read.token_ids,
        tokens=read.tokens,
        activations=activations,
        max_activation=packed.highs[i],
        max_position=packed.max_positions[i],
        position=packed.positions[i],
        activation=packed.values[i],
        interval=bands[packed.intervals[i]] if bands else None,
    )


def _values(scale: Scale) -> list[float]:
    """The activation of each level in few digits; the extremes as exact as they are stored.

    No sign is lost to rounding: a level beside zero that is not an extreme itself is at least
    1/1000 of the larger extreme.
    """
    largest = max(abs(scale.low), abs(scale.high))
    n_decimals = DIGITS - 1 - math.floor(math.log10(largest)) if largest else 0
    rounded = np.round(level_values(scale).astype(np.float64), n_decimals)
    # Half a level up may be past an extreme that is not a level's own, as where all is negative.
    values: list[float] = np.clip(rounded, scale.low, scale.high).tolist()
    if scale.zero < N_LEVELS - 1:
        values[-1] = scale.high
    if scale.zero > 0:
        values[0] = scale.low
    return values
