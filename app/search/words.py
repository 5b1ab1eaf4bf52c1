"""Units by the words of what is said of them: people's explanations, then automatic labels.

Of a unit counts what stands on its page: its newest explanation, or, where nobody explained it, its
automatic label if that explains it. Each of the two has a full-text index of its own, and gives no
more than its best few, so that the rows of units are read for those alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    DOUBLE_PRECISION,
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
    key = (-cast(Explanation.id, DOUBLE_PRECISION), Explanation.source_id, Explanation.unit)
    query = _select(EXPLAINED, *key).where(
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
    return _cut(query, key, after, limit)


def _labelled(
    wanted: ColumnElement[Any], within: Within, after: tuple[Any, ...] | None, limit: int
) -> Select[*tuple[Any, ...]]:
    """Units that nobody explained and a label with the words explains."""
    key = (-cast(Label.r2, DOUBLE_PRECISION), Label.source_id, Label.index)
    query = _select(LABELLED, *key).where(
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
        query = within.narrow(query.join(UnitStats, is_own))
    return _cut(query, key, after, limit)


def _select(kind: float, *key: Any) -> Select[*tuple[Any, ...]]:
    columns = (cast(literal(kind), DOUBLE_PRECISION), *key)
    names = ("key_0", "key_1", "source_id", "index")
    return select(*(each.label(name) for each, name in zip(columns, names, strict=True)))


def _cut(
    query: Select[*tuple[Any, ...]],
    key: tuple[Any, ...],
    after: tuple[Any, ...] | None,
    limit: int,
) -> Select[*tuple[Any, ...]]:
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(*after))
    return query.order_by(*key).limit(limit)
