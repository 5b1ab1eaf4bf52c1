"""What the search page shows: how the input was understood, and the units that answer it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy.orm import Session

from app import urls
from app.cursors import Page
from app.errors import AppError, NotFound
from app.language_models.queries import list_models
from app.language_models.schemas import ModelDetail
from app.rules.language import Tokens
from app.rules.text import to_text
from app.search.queries import find_address, search_units
from app.search.questions import (
    Question,
    QuestionKind,
    is_quoted,
    label_query,
    logit_query,
    misread_rule,
    parse_question,
    rule_query,
    signs_of,
    token_query,
)
from app.search.rule_part import RuleForm, RulePart, rule_part
from app.search.schemas import UnitHit
from app.sources.queries import find_source

PAGE_SIZE = 50
MAX_SIGNS = 8
NOTHING: dict[QuestionKind, str] = {
    "address": "No unit has the address {}.",
    "label": "No label or explanation has all of these words: {}. Units get labels once they are "
    "scanned, or by unitscope label; people explain them on their pages.",
}


@dataclass(frozen=True, slots=True)
class SearchForm:
    """The state of the search; all of it stands in the address."""

    q: str = ""
    model: str | None = None
    cursor: str | None = None
    rule: RuleForm = field(default_factory=RuleForm)


class Sign(NamedTuple):
    """A sign, and the search of the units that it carries as a token."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class SearchPage:
    """`problem` is what kept the search from an answer, in words; `models` those to choose from;
    `source` the page of the source that the text names, where it is no token; `rule` the answer to
    a rule."""

    form: SearchForm
    question: Question
    model: str | None
    models: list[ModelDetail]
    hits: Page[UnitHit]
    problem: str | None
    source: str | None = None
    rule: RulePart | None = None

    @property
    def next_href(self) -> str | None:
        if self.hits.next is None:
            return None
        return urls.search(q=self.form.q, model=self.form.model, cursor=self.hits.next)

    @property
    def only_page(self) -> str | None:
        """The page of the one thing that the text names: a unit by its address, or a source."""
        is_one = self.question.kind == "address" and len(self.hits.items) == 1
        return self.hits.items[0].unit.page if is_one else self.source

    @property
    def tokens(self) -> list[str]:
        """The tokens that the text was found to mean; the text itself where nothing was found."""
        return self.hits.items[0].tokens if self.hits.items else [self.question.text]

    @property
    def signs(self) -> list[Sign]:
        """What of the words labels were not searched for."""
        if self.question.kind != "label":
            return []
        signs = signs_of(self.question.text)[:MAX_SIGNS]
        return [Sign(sign, urls.search(q=token_query(sign), model=self.model)) for sign in signs]

    @property
    def as_label_href(self) -> str:
        """The token as a word of labels."""
        return urls.search(q=label_query(self.question.text), model=self.form.model)

    @property
    def as_rule_href(self) -> str:
        """The token as a rule, held against every unit."""
        return urls.search(q=rule_query(to_text(Tokens(tokens=self.tokens))), model=self.model)

    @property
    def other_href(self) -> str:
        """The other question about the same token."""
        ask = logit_query if self.question.kind == "token" else token_query
        return urls.search(q=ask(self.question.text), model=self.form.model)


def search_page(session: Session, form: SearchForm) -> SearchPage:
    """Never raises for what was typed: what is wrong with it is said on the page."""
    models = list_models(session).items
    question = parse_question(form.q)
    model = form.model or (models[0].model if models else None)
    hits: Page[UnitHit] = Page(items=[], next=None)
    problem = source = rule = None
    try:
        if question.kind == "rule" and model is not None:
            rule = rule_part(session, model, form.q, question.text, form.rule)
        else:
            hits = _hits(session, question, form, model)
    except AppError as error:
        problem = error.message
        source = _source_named(session, question, model)
        if source is None and question.kind == "token" and not is_quoted(form.q):
            question, hits, problem = _as_other(session, question, form, model, problem)
    if not hits.items and problem is None and question.text:
        problem = NOTHING.get(question.kind, "").format(question.text[:80]) or None
    return SearchPage(form, question, model, models, hits, problem, source, rule)


def _as_other(
    session: Session, question: Question, form: SearchForm, model: str | None, problem: str
) -> tuple[Question, Page[UnitHit], str | None]:
    """What is no token: a rule that is not quite one, else words."""
    if wrong := misread_rule(form.q):
        said = f"Read as a rule: {wrong} To look for words of labels, type label: before them."
        return Question("rule", question.text), Page(items=[], next=None), said
    return _as_words(session, question, form, model, problem)


def _as_words(
    session: Session, question: Question, form: SearchForm, model: str | None, problem: str
) -> tuple[Question, Page[UnitHit], str | None]:
    """What is no token as words of labels and explanations; where none has them, as it was, with
    the problem."""
    words = Question("label", question.text)
    try:
        hits = _hits(session, words, form, model)
    except AppError:
        return question, Page(items=[], next=None), problem
    if not hits.items:
        return question, hits, f"{problem} No label or explanation has these words either."
    return words, hits, None


def _source_named(session: Session, question: Question, model: str | None) -> str | None:
    """The page of the model's source of this name: `res-2` alone is half an address."""
    if question.kind != "token" or model is None:
        return None
    try:
        find_source(session, model, question.text)
    except NotFound:
        return None
    return urls.source(model, question.text)


def _hits(
    session: Session, question: Question, form: SearchForm, model: str | None
) -> Page[UnitHit]:
    if question.kind == "address":
        return Page(items=find_address(session, question.text, form.model), next=None)
    if question.kind in ("nothing", "rule") or model is None:
        return Page(items=[], next=None)
    return search_units(
        session,
        model,
        token=question.text if question.kind == "token" else None,
        logit=question.text if question.kind == "logit" else None,
        label=question.text if question.kind == "label" else None,
        limit=PAGE_SIZE,
        cursor=form.cursor,
    )
