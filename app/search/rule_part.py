"""What the search page shows of a rule: the units that follow it, sorted, and what chance gives."""

from dataclasses import dataclass, replace
from typing import NamedTuple, get_args

from sqlalchemy.orm import Session

from app import urls
from app.errors import InvalidInput
from app.language_models.queries import find_model
from app.rule_search.figures import USUAL_SORT, Figure
from app.rule_search.names import ABOUT, NAMES
from app.rule_search.schemas import RuleAnswer, RuleHit, RuleQuestion
from app.rule_search.service import search_rule
from app.rules.given import read_rule
from app.sources.queries import FoundSource, find_sources

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
    """The answer, its columns, and what to choose from: the sources scanned over the corpus, the
    corpora of all sources. `dropped` is the source asked for that was not scanned over it."""

    q: str
    model: str
    form: RuleForm
    answer: RuleAnswer
    sources: list[str]
    corpora: list[str]
    dropped: str | None = None

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
            chance=True,
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
    """The units that follow what was typed. Raises AppError as `search_rule`.

    A source that was not scanned over the corpus is not insisted on, so that a reader who changes
    the corpus is not left without an answer.
    """
    found = find_sources(session, find_model(session, model))
    dropped = form.source if is_elsewhere(found, form) else None
    if dropped is not None:
        form = replace(form, source=None)
    answer = search_rule(session, model, form.question(rule))
    sources = [each.source.slug for each in found if answer.corpus in _corpora(each)]
    largest_first = sorted(
        {scan.corpus.slug: scan.corpus.n_tokens for each in found for scan in each.scans}.items(),
        key=lambda corpus: (-corpus[1], corpus[0]),
    )
    return RulePart(q, model, form, answer, sources, [slug for slug, _ in largest_first], dropped)


def is_elsewhere(found: list[FoundSource], form: RuleForm) -> bool:
    """Whether the source and the corpus asked for are there, and the one was not scanned over the
    other."""
    known = {corpus for each in found for corpus in _corpora(each)}
    over = [_corpora(each) for each in found if each.source.slug == form.source]
    return form.corpus in known and bool(over) and form.corpus not in over[0]


def _corpora(found: FoundSource) -> list[str]:
    return [scan.corpus.slug for scan in found.scans]


def chance_part(session: Session, model: str, rule: str, form: RuleForm) -> RuleAnswer:
    """The same search with what the best unit reaches by chance."""
    return search_rule(session, model, form.question(rule, chance=True))
