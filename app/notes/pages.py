"""The page of all that people wrote of one model's units."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from app import urls
from app.cursors import Page
from app.explanations.queries import list_of_model as list_explanations
from app.explanations.schemas import ExplanationDetail
from app.hypotheses.queries import list_of_model as list_hypotheses
from app.hypotheses.schemas import HypothesisDetail

NoteKind = Literal["explanations", "hypotheses"]
PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class NotesPage:
    """One kind of note, the newest first; the other kind's list is empty."""

    model: str
    kind: NoteKind
    explanations: Page[ExplanationDetail]
    hypotheses: Page[HypothesisDetail]

    @property
    def next_href(self) -> str | None:
        shown = self.explanations if self.kind == "explanations" else self.hypotheses
        if shown.next is None:
            return None
        return urls.notes(self.model, kind=self.kind, cursor=shown.next)

    @property
    def json_href(self) -> str:
        if self.kind == "explanations":
            return urls.api_explanations(self.model)
        return urls.api_hypotheses(self.model)


def notes_page(session: Session, model: str, kind: NoteKind, cursor: str | None) -> NotesPage:
    """Raises NotFound for a model that is not there, InvalidInput for another listing's cursor."""
    explanations: Page[ExplanationDetail] = Page(items=[], next=None)
    hypotheses: Page[HypothesisDetail] = Page(items=[], next=None)
    if kind == "explanations":
        explanations = list_explanations(session, model, limit=PAGE_SIZE, cursor=cursor)
    else:
        hypotheses = list_hypotheses(session, model, limit=PAGE_SIZE, cursor=cursor)
    return NotesPage(model, kind, explanations, hypotheses)
