"""The evidence report: what speaks for a rule as a description of one unit, and what against it."""

import time
from itertools import pairwise

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.atlas.opened import OpenAtlas
from app.evidence.loss import find_loss
from app.labels.best import library_rank
from app.labels.library import open_library
from app.labels.words import describe
from app.models import UnitStats
from app.rule_search import one_unit, schemas
from app.rule_search.compared import Compared, compared
from app.rule_search.controls import find_controls
from app.rule_search.counter_examples import find_counter_examples
from app.rule_search.figures import FIGURES, USUAL_SORT, Figure, Matched, Threshold, figures
from app.rule_search.intervals import count_documents
from app.rule_search.measured import measure_over
from app.rule_search.ranking import Ranked, rank
from app.rule_search.schemas import Evidence, EvidenceQuestion, OtherCorpus
from app.rule_search.service import figures_of
from app.rule_search.thresholds import at_thresholds
from app.rules.hints import examine
from app.rules.language import AnyRule, to_value
from app.rules.text import to_text
from app.sources.queries import CurrentScan, FoundSource, find_unit


def report_evidence(
    session: Session, model: str, source: str, index: int, question: EvidenceQuestion
) -> Evidence:
    """The report on one unit and one rule, over one corpus, and in short over its others.

    Raises NotFound for what is not there, InvalidInput for a rule that takes too long, AtlasMissing
    and CacheUnavailable where there is nothing to hold it against.
    """
    began = time.perf_counter()
    found = find_unit(session, model, source, index)
    scan = found.scan_over(question.corpus)
    opened = compared(session, model, own=scan)
    place = opened.place_of(found.source)
    atlas = opened.atlases[place]
    evaluated = examine(question.rule, opened.text)
    matched, documents = evaluated.matched, opened.text.documents
    item = one_unit.evidence(atlas, index, matched, documents, question.threshold)
    against = find_counter_examples(
        session, scan, atlas, index, matched, opened.text, item.threshold
    )
    return Evidence(
        model=model,
        source=source,
        index=index,
        kind=found.source.kind,
        corpus=scan.corpus.slug,
        n_positions=evaluated.n_examined,
        n_matched=len(matched),
        n_documents=count_documents(documents),
        rule=to_value(question.rule),
        text=to_text(question.rule),
        floor=float(atlas.floors[index]),
        bands=_bands(session, opened, place, scan, index, matched),
        thresholds=at_thresholds(atlas, index, matched),
        ranks=_ranks(opened, place, index, matched, question.threshold),
        left_out=opened.left_out,
        library=_among_library(atlas, index, opened, item.values["r2"]),
        others=_over_others(session, found, index, scan, question, item),
        controls=find_controls(
            session, model, scan.corpus.slug, question.rule, USUAL_SORT, question.threshold
        ),
        loss=_loss(session, scan, found, index, question.rule),
        counter_examples=against,
        hints=list(evaluated.hints),
        took_ms=round((time.perf_counter() - began) * 1000, 3),
        **figures_of(item),
    )


def _loss(
    session: Session, scan: CurrentScan, found: FoundSource, unit: int, rule: AnyRule
) -> schemas.Loss | None:
    known = find_loss(session, scan.scan.id, found.source.id, unit, rule)
    if known is None:
        return None
    return schemas.Loss(**{name: getattr(known, name) for name in schemas.Loss.model_fields})


def _among_library(
    atlas: OpenAtlas, unit: int, opened: Compared, r2: float | None
) -> schemas.LibraryRank:
    """The rule among all that could have been chosen without looking at the unit."""
    found = library_rank(atlas, unit, open_library(opened.text), r2 or 0.0)
    best = None
    if found.best is not None and found.best_r2 is not None:
        text, words = to_text(found.best), describe(found.best)
        best = schemas.LibraryRule(text=text, words=words, r2=found.best_r2)
    place = None if r2 is None else found.place
    return schemas.LibraryRank(place=place, n_rules=found.n_rules, best=best)


def _bands(
    session: Session, opened: Compared, place: int, scan: CurrentScan, unit: int, matched: Matched
) -> list[schemas.Band]:
    found = opened.candidates[place].found
    edges = session.scalar(
        select(UnitStats.interval_edges).where(
            UnitStats.scan_id == scan.scan.id,
            UnitStats.source_id == found.source.id,
            UnitStats.index == unit,
        )
    )
    if not edges:
        return []
    bands = one_unit.bands(opened.atlases[place], unit, matched, np.array(edges, np.float32))
    return [
        schemas.Band(
            low=low,
            high=high,
            n_positions=band.n_positions,
            n_matched=band.n_matched,
            share_matched=band.n_matched / band.n_positions if band.n_positions else None,
            mass_explained=band.mass_matched / band.mass if band.mass else None,
        )
        for band, (low, high) in zip(bands, pairwise(edges), strict=True)
    ]


def _ranks(
    opened: Compared, place: int, unit: int, matched: Matched, threshold: Threshold
) -> list[schemas.Rank]:
    """The unit's place among all that were compared, by each figure: what it is to be held to."""
    found = figures(opened.atlases, matched, threshold=threshold)
    asked = [np.ones(each.n_units, bool) for each in opened.atlases]
    n_units = sum(each.n_units for each in opened.atlases)
    ranks = []
    for name in FIGURES:
        its = rank([each.of(name) for each in found], asked, place, unit)
        at, n_equal = (None, None) if its is None else its
        ranks.append(schemas.Rank(sort=name, place=at, n_equal=n_equal, n_units=n_units))
    return ranks


def _over_others(
    session: Session,
    found: FoundSource,
    unit: int,
    scan: CurrentScan,
    question: EvidenceQuestion,
    here: Ranked,
) -> list[OtherCorpus]:
    """The same over every other corpus of the unit that has an atlas."""
    others = []
    for other in found.scans:
        if other.corpus.id == scan.corpus.id:
            continue
        opened = compared(session, found.model.slug, sources=[found.source.slug], own=other)
        if opened.atlases:
            there, figures = measure_over(opened, found.source, unit, question)
            differs_in = [name for name in FIGURES if _are_apart(here, there, name)]
            others.append(OtherCorpus.model_validate({**figures, "differs_in": differs_in}))
    return others


def _are_apart(here: Ranked, there: Ranked, name: Figure) -> bool:
    """Whether the two intervals do not overlap."""
    one, other = here.intervals.get(name), there.intervals.get(name)
    return one is not None and other is not None and (one[1] < other[0] or other[1] < one[0])
