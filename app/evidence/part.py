"""What the page of the evidence shows of recovered loss, and asks for again while that goes on."""

import shlex
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app import loss_queue, urls
from app.evidence import loss, service
from app.evidence.loss import LossReport
from app.rules.given import sent_rule
from app.rules.language import AnyRule
from app.rules.text import to_text

MORE = 4  # times the windows: half the width of the interval


@dataclass(frozen=True, slots=True)
class LossPart:
    """The report on recovered loss, if there is one. `threshold` is only passed on."""

    model: str
    source: str
    index: int
    rule: AnyRule
    corpus: str
    threshold: str | None
    report: LossReport | None
    is_served: bool

    @property
    def is_live(self) -> bool:
        """Whether anything here will change by itself."""
        return self.report is not None and not self.report.is_over

    @property
    def href(self) -> str:
        """Of this part alone."""
        return urls.loss(
            self.model,
            self.source,
            self.index,
            rule=to_text(self.rule),
            corpus=self.corpus,
            threshold=self.threshold,
        )

    @property
    def action(self) -> str:
        """Where the form goes."""
        return urls.loss(self.model, self.source, self.index)

    @property
    def sent_rule(self) -> str:
        """The rule as the form sends it."""
        return sent_rule(self.rule)

    @property
    def shell_rule(self) -> str:
        """The rule as a shell takes it."""
        return shlex.quote(to_text(self.rule))

    @property
    def more_windows(self) -> int | None:
        """How many to try next, where the loss did not stand out; None where that is all."""
        read = self.report.settings.get("n_windows", loss.DEFAULT_WINDOWS) if self.report else 0
        more = max(read * MORE, loss.DEFAULT_WINDOWS)
        return min(more, loss.MAX_WINDOWS) if 0 < read < loss.MAX_WINDOWS else None

    @property
    def attempt(self) -> str:
        """Which attempt runs, where it is not the first."""
        words = {2: "second", 3: "third and last"}
        n = 0 if self.report is None else self.report.n_attempts
        return f", for the {words[n]} time" if n in words else ""


def loss_part(
    session: Session,
    model: str,
    source: str,
    index: int,
    rule: AnyRule,
    corpus: str | None,
    threshold: str | None,
) -> LossPart:
    """Reads the report's row and nothing else of the evidence. Raises NotFound."""
    about = service.subject(session, model, source, index, rule, corpus)
    report = loss.find_loss(session, *about.key)
    is_served = loss_queue.is_served(session)
    over = about.scan.corpus.slug
    return LossPart(model, source, index, rule, over, threshold, report, is_served)
