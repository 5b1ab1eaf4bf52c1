"""The lists of similar units, a part of the unit's page that is loaded after it."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app import urls
from app.units.schemas import SimilarBy, SimilarUnits
from app.units.similar import similar_or_reason

NAMES: dict[SimilarBy, str] = {"activation": "By activation", "direction": "By direction"}


@dataclass(frozen=True, slots=True)
class SimilarList:
    """What is like a unit in one way; without an answer, or without any item, the reason."""

    by: SimilarBy
    answer: SimilarUnits | None
    reason: str
    json_href: str

    @property
    def name(self) -> str:
        return NAMES[self.by]


@dataclass(frozen=True, slots=True)
class SimilarPart:
    """Both lists, of the unit at an address; also a page of its own."""

    model: str
    source: str
    index: int
    corpus: str | None
    lists: list[SimilarList]


def similar_part(
    session: Session, model: str, source: str, index: int, corpus: str | None, limit: int
) -> SimilarPart:
    """What is like a unit, of either kind. Raises NotFound for what is not there."""
    lists = [_list(session, model, source, index, by, corpus, limit) for by in NAMES]
    return SimilarPart(model, source, index, corpus, lists)


def _list(
    session: Session,
    model: str,
    source: str,
    index: int,
    by: SimilarBy,
    corpus: str | None,
    limit: int,
) -> SimilarList:
    answer = similar_or_reason(session, model, source, index, by, corpus, limit)
    json_href = urls.api_similar(model, source, index, by=by, corpus=corpus)
    if isinstance(answer, str):
        return SimilarList(by, None, answer, json_href)
    return SimilarList(by, answer, answer.reason or "", json_href)
