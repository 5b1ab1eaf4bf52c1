"""What the search page shows of a rule: the units that follow it, sorted, and what chance gives."""

from dataclasses import dataclass
from typing import NamedTuple, get_args

from sqlalchemy.orm import Session

from app import urls
from app.errors import InvalidInput
from app.language_models.queries import find_model
from app.rule_search.figures import USUAL_SORT, Figure
from app.rule_search.names import ABOUT, NAMES
from app.rule_search.schemas import RuleAnswer, RuleHit, RuleQuestion
from app.rule_search.service import search_rule
from app.search.questions import read_rule
from app.sources.queries import find_sources

N_SHOWN = 30


@dataclass(frozen=True, slots=True)
class RuleForm:
    """The state of a rule search beyond the rule and the model; all of it is in the address."""

    sort: str | None = None
    source: str | None = None
    corpus: str | None = None

    @property
    def figure(self) -> Figure:
        """What is sorted by. Raises InvalidInput for what is no figure."""
        for figure in get_args(Figure):
            if figure == (self.sort or USUAL_SORT):
                chosen: Figure = figure
                return chosen
        raise InvalidInput(f"sort={self.sort!r}: wanted one of {', '.join(get_args(Figure))}.")

    def question(self, rule: str, *, chance: bool = False) -> RuleQuestion:
        """What is asked. Raises InvalidInput for what is no rule, with the place."""
        return RuleQuestion(
            rule=read_rule(rule),
            sort=self.figure,
            sources=[self.source] if self.source else None,
            corpus=self.corpus,
            limit=1 if chance else N_SHOWN,
            chance=chance,
        )


class Heading(NamedTuple):
    """A figure's column; `href` sorts by it."""

    figure: Figure
    label: str
    about: str
    href: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class RulePart:
    """The answer, its columns, and the sources to choose from."""

    q: str
    model: str
    form: RuleForm
    answer: RuleAnswer
    sources: list[str]

    @property
    def headings(self) -> list[Heading]:
        return [
            Heading(figure, NAMES[figure], ABOUT[figure], self._href(figure), figure == self.sort)
            for figure in NAMES
        ]

    @property
    def sort(self) -> Figure:
        return self.answer.sort

    @property
    def chance_href(self) -> str:
        form = self.form
        return urls.search_chance(
            q=self.q, model=self.model, sort=form.sort, source=form.source, corpus=form.corpus
        )

    @property
    def api_href(self) -> str:
        form = self.form
        return urls.api_rule_search(
            self.model,
            rule=self.answer.text,
            source=form.source,
            corpus=form.corpus,
            sort=form.sort,
            limit=N_SHOWN,
        )

    def evidence_href(self, hit: RuleHit) -> str:
        """The report on a unit and this rule."""
        return urls.evidence(
            hit.model, hit.source, hit.index, rule=self.answer.text, corpus=self.form.corpus
        )

    def _href(self, figure: Figure) -> str:
        form = self.form
        return urls.search(
            q=self.q, model=self.model, sort=figure, source=form.source, corpus=form.corpus
        )


def rule_part(session: Session, model: str, q: str, rule: str, form: RuleForm) -> RulePart:
    """The units that follow what was typed. Raises AppError as `search_rule`."""
    answer = search_rule(session, model, form.question(rule))
    sources = [each.source.slug for each in find_sources(session, find_model(session, model))]
    return RulePart(q, model, form, answer, sources)


def chance_part(session: Session, model: str, rule: str, form: RuleForm) -> RuleAnswer:
    """The same search with what the best unit reaches by chance."""
    return search_rule(session, model, form.question(rule, chance=True))
