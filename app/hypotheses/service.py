"""Saving, changing and deleting hypotheses. Figures are computed here and never taken from outside.

A name is a unit's once. The same hypothesis sent again, as by a button pressed twice, is the one
that is there. Only who saved one may change or delete it.
"""

import json
from importlib.metadata import version
from typing import Any, NamedTuple

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.access.tokens import Writer
from app.errors import Conflict, Forbidden, InvalidInput
from app.hypotheses.queries import (
    Found,
    detail,
    find_hypothesis,
    find_named,
    get_hypothesis,
)
from app.hypotheses.schemas import (
    MAX_NAME,
    Figures,
    HypothesisChange,
    HypothesisDetail,
    NewHypothesis,
)
from app.models import Hypothesis
from app.rule_search.figures import Threshold
from app.rule_search.measured import measure
from app.rule_search.schemas import EvidenceQuestion
from app.rules.language import AnyRule, to_json
from app.rules.reading import read_json
from app.sources.queries import find_unit
from app.typed_text import clean


class Saved(NamedTuple):
    """A hypothesis, and whether it was not there before."""

    hypothesis: HypothesisDetail
    is_new: bool


def save(
    session: Session, model: str, source: str, index: int, new: NewHypothesis, writer: Writer
) -> Saved:
    """Holds the rule against the unit and saves it with its figures.

    Raises NotFound for what is not there, Conflict for a name that another hypothesis of the unit
    has, and as app.rule_search.measured.
    """
    name = _name(new.name)
    found = find_unit(session, model, source, index)
    corpus = found.scan_over(new.corpus).corpus.slug
    source_id = found.source.id
    if (known := find_named(session, source_id, index, name)) is not None:
        return Saved(same_as(known, new, corpus), False)
    values = _evaluated(session, model, source, index, new.rule, corpus, new.threshold)
    place = {"source_id": source_id, "unit": index, "name": name, "author": writer.name}
    added = session.scalar(
        insert(Hypothesis)
        .values(**place, **values)
        .on_conflict_do_nothing()
        .returning(Hypothesis.id)
    )
    if added is None:  # somebody else was faster
        known = find_named(session, source_id, index, name)
        if known is None:
            raise Conflict(f"The name {name!r} was taken and given up just now: save it again.")
        return Saved(same_as(known, new, corpus), False)
    return Saved(get_hypothesis(session, added), True)


def change(
    session: Session, hypothesis: int, wanted: HypothesisChange, writer: Writer
) -> HypothesisDetail:
    """Gives it another name, or another rule, whose figures are computed anew.

    Raises NotFound, Forbidden for who did not save it, Conflict for a name that is taken,
    InvalidInput for nothing to change, and as app.rule_search.measured.
    """
    if wanted.name is None and wanted.rule is None:
        raise InvalidInput("There is nothing to change: send a name, a rule or both.")
    found = _own(session, hypothesis, writer)
    row, source, model = found
    values: dict[str, Any] = {} if wanted.name is None else {"name": _name(wanted.name)}
    if wanted.rule is not None:
        asked = Figures.model_validate(row.evidence).threshold_asked
        values |= _evaluated(
            session, model.slug, source.slug, row.unit, wanted.rule, row.corpus, asked
        )
    try:
        with session.begin_nested():
            for column, value in values.items():
                setattr(row, column, value)
            if session.is_modified(row):
                row.updated_at = func.now()
    except IntegrityError as error:
        raise _taken(values["name"], row.unit) from error
    session.refresh(row)
    return detail(found)


def delete(session: Session, hypothesis: int, writer: Writer) -> HypothesisDetail:
    """Deletes it; the answer is what it was. Raises NotFound, Forbidden for who did not save it."""
    found = _own(session, hypothesis, writer)
    was = detail(found)
    session.delete(found[0])
    return was


def _name(text: str) -> str:
    return clean(text, "name", MAX_NAME, is_one_line=True)


def _evaluated(
    session: Session,
    model: str,
    source: str,
    index: int,
    rule: AnyRule,
    corpus: str,
    threshold: Threshold,
) -> dict[str, Any]:
    """The columns that hold what was found."""
    question = EvidenceQuestion(rule=rule, corpus=corpus, threshold=threshold)
    scan_id, measured = measure(session, model, source, index, question)
    figures = Figures(
        **measured.model_dump(exclude={"corpus"}),
        scan=scan_id,
        threshold_asked=threshold,
        software_version=version("unitscope"),
    )
    return {
        "rule": to_json(rule),
        "corpus": corpus,
        "threshold": figures.threshold,
        "evidence": evidence_of(figures),
    }


def evidence_of(figures: Figures) -> dict[str, Any]:
    """The figures as they are kept: what is no number is null.

    Raises ValidationError where that leaves none that could be read again.
    """
    kept: dict[str, Any] = json.loads(figures.model_dump_json())
    Figures.model_validate(kept)
    return kept


def same_as(known: Found, new: NewHypothesis, corpus: str) -> HypothesisDetail:
    """The one that is there, if it says the same. Raises Conflict."""
    row = known[0]
    asked = Figures.model_validate(row.evidence).threshold_asked
    is_same = (
        to_json(read_json(row.rule)) == to_json(new.rule)
        and row.corpus == corpus
        and asked == new.threshold
    )
    if not is_same:
        raise _taken(row.name, row.unit)
    return detail(known)


def _taken(name: str, unit: int) -> Conflict:
    return Conflict(
        f"Unit {unit} has another hypothesis of the name {name!r} already: choose another name, "
        "or change or delete that one first."
    )


def _own(session: Session, hypothesis: int, writer: Writer) -> Found:
    found = find_hypothesis(session, hypothesis, is_locked=True)
    if found[0].author != writer.name:
        raise Forbidden(
            f"The hypothesis {found[0].name!r} was saved by {found[0].author!r}, and only who "
            f"saved one may change or delete it; this token is {writer.name!r}."
        )
    return found
