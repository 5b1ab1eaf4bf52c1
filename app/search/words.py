"""Units by the words of what is said of them: people's explanations, then automatic labels.

Of a unit counts what stands on its page: its newest explanation, or, where nobody explained it, its
automatic label if that explains it. Each of the two gives no more than its best few, so that the
rows of units are read for those alone. They come out of an index: for rare words of the full text,
for common ones of the order (explanations by their numbers, labels by their R²), until there are
enough; PostgreSQL knows which is fewer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    DOUBLE_PRECISION,
    REAL,
    ColumnElement,
    Select,
    Subquery,
    cast,
    exists,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import REGCONFIG
from sqlalchemy.orm import Session, aliased

from app.errors import InvalidInput
from app.models import Explanation, Label, UnitStats
from app.models.labels import WORDS_VECTOR
from app.models.notes import EXPLANATION_VECTOR

MAX_WORDS = 400  # characters
EXPLAINED, LABELLED = 0.0, 1.0
"""The first keys: people come first."""


@dataclass(frozen=True, slots=True)
class Within:
    """Where to look: pairs (scan id, source id), and bounds on the density of units."""

    pairs: Sequence[tuple[int, int]]
    min_density: float | None
    max_density: float | None

    @property
    def is_bounded(self) -> bool:
        return self.min_density is not None or self.max_density is not None

    def narrow(self, query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
        """A query that has `UnitStats` in it, with these bounds."""
        query = query.where(
            UnitStats.scan_id.in_({scan_id for scan_id, _ in self.pairs}),  # which partitions
            tuple_(UnitStats.scan_id, UnitStats.source_id).in_(self.pairs),
        )
        return self.bound(query)

    def bound(self, query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
        """A query that has `UnitStats` of the right places in it, with the bounds alone."""
        if self.min_density is not None:
            query = query.where(UnitStats.density >= self.min_density)
        if self.max_density is not None:
            query = query.where(UnitStats.density <= self.max_density)
        return query


def best(
    session: Session, words: str, within: Within, last: Sequence[Any] | None, limit: int
) -> Subquery:
    """At most the best `limit` units of each kind after the key `last`, in any order.

    Columns key_0, key_1, source_id, index: what they are sorted by. key_0 is EXPLAINED or LABELLED;
    key_1 is smaller the newer an explanation is, and the more of its unit a label explains.
    Raises InvalidInput for too many words, or none that can be looked for.
    """
    wanted = _wanted(session, words)
    after = None if last is None else tuple(last[1:])
    labelled = _labelled(wanted, within, None if last and last[0] == EXPLAINED else after, limit)
    if last is not None and last[0] == LABELLED:
        return labelled.subquery("found")
    return union_all(_explained(wanted, within, after, limit), labelled).subquery("found")


def _wanted(session: Session, words: str) -> ColumnElement[Any]:
    """All of the words, as full-text search takes them."""
    if len(words) > MAX_WORDS:
        raise InvalidInput(
            f"Labels and explanations are searched for at most {MAX_WORDS} characters of words."
        )
    wanted = func.websearch_to_tsquery(cast(literal("simple"), REGCONFIG), words.replace("\0", " "))
    if session.scalar(select(func.numnode(wanted))) == 0:
        raise InvalidInput(
            f"{words[:60]!r} holds no word or number to look for in labels and explanations. For "
            "signs, search the token: token=…, or in quotes in the search box."
        )
    return wanted


def _explained(
    wanted: ColumnElement[Any], within: Within, after: tuple[Any, ...] | None, limit: int
) -> Select[*tuple[Any, ...]]:
    """Units whose newest explanation has the words."""
    newer = aliased(Explanation)
    newness = -cast(Explanation.id, DOUBLE_PRECISION)
    query = _select(EXPLAINED, newness, Explanation.source_id, Explanation.unit).where(
        Explanation.source_id.in_([source_id for _, source_id in within.pairs]),
        literal_column(EXPLANATION_VECTOR).op("@@")(wanted),
        ~exists().where(
            newer.source_id == Explanation.source_id,
            newer.unit == Explanation.unit,
            newer.id > Explanation.id,
        ),
    )
    if within.is_bounded:
        is_own = (UnitStats.source_id == Explanation.source_id) & (
            UnitStats.index == Explanation.unit
        )
        query = within.narrow(query.join(UnitStats, is_own))
    if after is not None:
        query = query.where(Explanation.id < int(-after[0]))
    return query.order_by(Explanation.id.desc()).limit(limit)


def _labelled(
    wanted: ColumnElement[Any], within: Within, after: tuple[Any, ...] | None, limit: int
) -> Select[*tuple[Any, ...]]:
    """Units that nobody explained and a label with the words explains."""
    key = (-Label.r2, Label.source_id, Label.index)
    query = _select(LABELLED, cast(key[0], DOUBLE_PRECISION), *key[1:]).where(
        Label.scan_id.in_({scan_id for scan_id, _ in within.pairs}),  # which partitions
        tuple_(Label.scan_id, Label.source_id).in_(within.pairs),
        Label.is_explained,
        literal_column(WORDS_VECTOR).op("@@")(wanted),
        ~exists().where(Explanation.source_id == Label.source_id, Explanation.unit == Label.index),
    )
    if within.is_bounded:
        is_own = (
            (UnitStats.scan_id == Label.scan_id)
            & (UnitStats.source_id == Label.source_id)
            & (UnitStats.index == Label.index)
        )
        query = within.bound(query.join(UnitStats, is_own))
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(cast(after[0], REAL), *after[1:]))
    return query.order_by(*key).limit(limit)


def _select(kind: float, *key: Any) -> Select[*tuple[Any, ...]]:
    columns = (cast(literal(kind), DOUBLE_PRECISION), *key)
    names = ("key_0", "key_1", "source_id", "index")
    return select(*(each.label(name) for each, name in zip(columns, names, strict=True)))
