"""Reading what people write of units, whatever kind of note it is: of a unit, of a model, one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from app import cursors
from app.cursors import DEFAULT_LIMIT, Page
from app.errors import NotFound
from app.language_models.queries import find_model
from app.models import Explanation, Hypothesis, LanguageModel, Source
from app.sources.queries import find_source, find_unit

Note = TypeVar("Note", Explanation, Hypothesis)
Detail = TypeVar("Detail")

MAX_ID = 2**63 - 1
BATCH = 500


@dataclass(frozen=True, slots=True)
class Notes(Generic[Note, Detail]):
    """One kind of note. `detail` makes of a row what people and programs get; newest come first."""

    table: type[Note]
    name: str
    detail: Callable[[Row[Note, Source, LanguageModel]], Detail]

    def list_of_unit(
        self,
        session: Session,
        model: str,
        source: str,
        index: int,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Detail]:
        """A unit's, the newest first. Raises NotFound for what is not there."""
        found = find_unit(session, model, source, index).source
        query = self.found().where(self.table.source_id == found.id, self.table.unit == index)
        return self._page(session, query, f"{self.name}|unit={found.id}|{index}", limit, cursor)

    def list_of_model(
        self,
        session: Session,
        model: str,
        source: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[Detail]:
        """A model's, or those of one of its sources, the newest first. Raises NotFound."""
        row = find_model(session, model)
        query, listing = self.found().where(LanguageModel.id == row.id), f"{self.name}|{row.id}"
        if source is not None:
            source_id = find_source(session, model, source).source.id
            query = query.where(Source.id == source_id)
            listing += f"|source={source_id}"
        return self._page(session, query, listing, limit, cursor)

    def rows_of_model(
        self, session: Session, model: str
    ) -> Iterator[Row[Note, Source, LanguageModel]]:
        """All of a model, the oldest first, a batch in memory at a time. Raises NotFound."""
        query = self.found().where(LanguageModel.id == find_model(session, model).id)
        last = 0
        while True:
            part = query.where(self.table.id > last).order_by(self.table.id).limit(BATCH)
            rows = session.execute(part).all()
            yield from rows
            if len(rows) < BATCH:
                return
            last = rows[-1][0].id

    def find(
        self, session: Session, note: int, *, is_locked: bool = False
    ) -> Row[Note, Source, LanguageModel]:
        """The rows of one; locked: until the end of the transaction nobody else writes it.

        Raises NotFound.
        """
        query = self.found().where(self.table.id == note)
        if is_locked:
            query = query.with_for_update(of=self.table)
        row = session.execute(query).one_or_none() if 0 < note <= MAX_ID else None
        if row is None:
            raise NotFound(f"There is no {self.name} {str(note)[:30]}: it may have been deleted.")
        return row

    def get(self, session: Session, note: int) -> Detail:
        """One. Raises NotFound."""
        return self.detail(self.find(session, note))

    def found(self) -> Select[Note, Source, LanguageModel]:
        """Every note, with the source and the model that its unit is of."""
        return (
            select(self.table, Source, LanguageModel)
            .join(Source, Source.id == self.table.source_id)
            .join(LanguageModel, LanguageModel.id == Source.language_model_id)
        )

    def _page(
        self,
        session: Session,
        query: Select[Note, Source, LanguageModel],
        listing: str,
        limit: int,
        cursor: str | None,
    ) -> Page[Detail]:
        if cursor is not None:
            (before,) = cursors.decode(listing, cursor, (int,))
            query = query.where(self.table.id < before)
        rows = session.execute(query.order_by(self.table.id.desc()).limit(limit + 1)).all()
        more = cursors.encode(listing, (rows[limit - 1][0].id,)) if len(rows) > limit else None
        return Page(items=[self.detail(row) for row in rows[:limit]], next=more)
