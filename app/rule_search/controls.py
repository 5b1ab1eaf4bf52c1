"""What the units of control models reach by the same rule, over the same corpus."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import urls
from app.errors import AppError
from app.language_models.queries import find_model
from app.models import LanguageModel
from app.rule_search import ranking
from app.rule_search.compared import compared
from app.rule_search.figures import Figure, Threshold
from app.rule_search.ranking import Searched
from app.rule_search.schemas import Control
from app.rules.evaluation import evaluate
from app.rules.language import AnyRule


def find_controls(
    session: Session, model: str, corpus: str, rule: AnyRule, sort: Figure, threshold: Threshold
) -> list[Control]:
    """The best unit of each model of random weights that was made of this one.

    Those that were not scanned over the corpus, or have no atlas, are left out.
    """
    found = []
    for slug in _slugs(session, model):
        try:
            best = _best(session, slug, corpus, rule, sort, threshold)
        except AppError:
            continue
        if best is not None:
            found.append(best)
    return found


def _slugs(session: Session, model: str) -> list[str]:
    real = find_model(session, model)
    query = (
        select(LanguageModel.slug)
        .where(LanguageModel.details["control_of"].astext == real.weights_hash)
        .order_by(LanguageModel.slug)
    )
    return list(session.scalars(query))


def _best(
    session: Session,
    slug: str,
    corpus: str,
    rule: AnyRule,
    sort: Figure,
    threshold: Threshold,
) -> Control | None:
    opened = compared(session, slug, corpus=corpus)
    matched = evaluate(rule, opened.text)
    if len(matched) == 0:
        return None
    found = ranking.search(
        [Searched(atlas) for atlas in opened.atlases],
        matched,
        opened.text.documents,
        sort=sort,
        limit=1,
        threshold=threshold,
        with_intervals=False,
    )
    for item in found.items:
        value = item.values[sort]
        if value is not None:
            source = opened.candidates[item.source].found.source.slug
            return Control(
                model=slug,
                source=source,
                index=item.unit,
                value=value,
                n_units=found.n_units,
                page=urls.unit(slug, source, item.unit),
            )
    return None
