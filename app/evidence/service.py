"""Asking for a report on recovered loss by the names that people use, and finding it again."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app import loss_queue, urls
from app.errors import NotFound
from app.evidence import loss
from app.evidence.loss import LossReport
from app.evidence.schemas import LossAnswer, LossQuestion
from app.rules.language import AnyRule, to_value
from app.rules.text import to_text
from app.sources.queries import CurrentScan, FoundSource, find_unit


@dataclass(frozen=True, slots=True)
class Subject:
    """A unit, over one of its corpora, and a rule."""

    found: FoundSource
    scan: CurrentScan
    index: int
    rule: AnyRule

    @property
    def key(self) -> tuple[int, int, int, AnyRule]:
        """As app.evidence.loss takes it."""
        return self.scan.scan.id, self.found.source.id, self.index, self.rule

    @property
    def href(self) -> str:
        """Where the report is, as JSON."""
        return urls.api_loss(
            self.found.model.slug,
            self.found.source.slug,
            self.index,
            rule=to_text(self.rule),
            corpus=self.scan.corpus.slug,
        )

    @property
    def page(self) -> str:
        """The page of the evidence."""
        return urls.evidence(
            self.found.model.slug,
            self.found.source.slug,
            self.index,
            rule=to_text(self.rule),
            corpus=self.scan.corpus.slug,
        )


def subject(
    session: Session, model: str, source: str, index: int, rule: AnyRule, corpus: str | None
) -> Subject:
    """Raises NotFound for a unit or a corpus that is not there."""
    found = find_unit(session, model, source, index)
    return Subject(found, found.scan_over(corpus), index, rule)


def ask(session: Session, about: Subject, question: LossQuestion) -> LossAnswer:
    """The report that is there, or a queued one. Raises InvalidInput."""
    scan_id, source_id, *_ = about.key
    report = loss.ask_loss(
        session,
        *about.key,
        n_windows=question.n_windows,
        seed=question.seed,
        is_again=question.again,
    )
    loss.enqueue(session, [report], scan_id, source_id)
    return _answer(session, about, report)


def find(session: Session, about: Subject) -> LossAnswer:
    """Raises NotFound where nobody asked."""
    report = loss.find_loss(session, *about.key)
    if report is None:
        raise NotFound(
            "Nobody asked for the loss that this rule recovers here. POST the rule to "
            f"{urls.api_loss(about.found.model.slug, about.found.source.slug, about.index)}."
        )
    return _answer(session, about, report)


def delete(session: Session, about: Subject) -> None:
    """Takes back what is not complete. Raises NotFound, and Conflict."""
    loss.delete_loss(session, *about.key)


def _answer(session: Session, about: Subject, report: LossReport) -> LossAnswer:
    kept = report.model_dump(
        include={*LossAnswer.model_fields} - {"rule", "model", "source", "index", "corpus"}
    )
    return LossAnswer(
        model=about.found.model.slug,
        source=about.found.source.slug,
        index=about.index,
        corpus=about.scan.corpus.slug,
        rule=to_value(about.rule),
        text=to_text(about.rule),
        is_served=loss_queue.is_served(session),
        links={"self": about.href, "page": about.page},
        **report.settings,
        **kept,
    )
