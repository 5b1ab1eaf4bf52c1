"""Units like a given one, as REST and pages show them: compared by app.atlas, described here."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, get_args

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from app import urls
from app.atlas.cache import get_cache
from app.atlas.errors import AtlasMissing, AtlasUnusable, CacheUnavailable
from app.atlas.neighbours import MAX_NEIGHBOURS, Nearest, by_activation, by_direction
from app.atlas.opened import OpenAtlas, OpenDirections
from app.atlas.queries import Candidate, atlases, directions
from app.explanations.queries import newest_of
from app.explanations.schemas import UnitExplanation
from app.labels.queries import labels_at
from app.labels.schemas import UnitLabel
from app.language_models.queries import token_texts
from app.models import Unit, UnitStats
from app.sources.queries import FoundSource, find_source, find_sources, find_unit
from app.units.listing import N_PROMOTED
from app.units.schemas import LeftOut, Neighbours, SimilarBy, SimilarUnit, SimilarUnits, UnitLinks

T = TypeVar("T")
DEFAULT_SIMILAR = 20
MAX_SIMILAR = MAX_NEIGHBOURS
N_NEIGHBOURS = 10
CONSTANT = "the unit never varies over the atlas, so it correlates with nothing"
NO_DIRECTION = "the unit writes nothing: its direction has length 0"
NO_OTHERS = "no other unit can be compared"
_Key = tuple[int, int]  # source id, unit


@dataclass
class _Opened(Generic[T]):
    """The sources that are compared, with what is compared of them, and those left out."""

    own: T
    place: int | None = None
    candidates: list[Candidate[T]] = field(default_factory=list)
    arrays: list[T] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def similar_units(
    session: Session,
    model: str,
    source: str,
    index: int,
    *,
    by: SimilarBy = "activation",
    corpus: str | None = None,
    within: str | None = None,
    limit: int = DEFAULT_SIMILAR,
) -> SimilarUnits:
    """The units most like one, in any source of its model or in the source `within` alone.

    Raises NotFound for what is not there, AtlasMissing where the unit's own source has nothing to
    compare, AtlasUnusable where that is damaged, CacheUnavailable where it cannot be copied here.
    Other sources that cannot be compared are left out, and said to be.
    """
    found = find_unit(session, model, source, index)
    scan = found.scan_over(corpus)
    sources = find_sources(session, found.model)
    if within is not None:
        find_source(session, model, within)
    nearest: Nearest
    compared: _Opened[OpenAtlas] | _Opened[OpenDirections]
    if by == "activation":
        compared = atlas = _open(session, found, atlases(session, sources, scan), within)
        nearest = by_activation(atlas.own, index, atlas.arrays, atlas.place)
        reason = NO_OTHERS if atlas.own.moments.varies[index] else CONSTANT
    else:
        compared = kept = _open(session, found, directions(session, sources, scan), within)
        nearest = by_direction(kept.own, index, kept.arrays, kept.place)
        reason = NO_OTHERS if kept.own.norms[index] > 0 else NO_DIRECTION
    return SimilarUnits(
        items=_items(session, found, compared.candidates, nearest, limit),
        by=by,
        corpus=scan.corpus.slug,
        n_units=nearest.n_units,
        n_positions=atlas.own.n_positions if by == "activation" else None,
        left_out=compared.left_out,
        reason=None if nearest.n_units else reason,
    )


def neighbours(session: Session, model: str, source: str, index: int) -> Neighbours:
    """The few nearest of each kind; where there are none, the reason in place of an error."""
    nearest = Neighbours()
    for by in get_args(SimilarBy):
        answer = similar_or_reason(session, model, source, index, by, None, N_NEIGHBOURS)
        if isinstance(answer, str):
            nearest.reasons[by] = answer
        else:
            getattr(nearest, by).extend(answer.items)
            if answer.reason:
                nearest.reasons[by] = answer.reason
    return nearest


def similar_or_reason(
    session: Session,
    model: str,
    source: str,
    index: int,
    by: SimilarBy,
    corpus: str | None,
    limit: int,
) -> SimilarUnits | str:
    """As `similar_units`, but for one part among others: what cannot be compared is told."""
    try:
        return similar_units(session, model, source, index, by=by, corpus=corpus, limit=limit)
    except (AtlasMissing, AtlasUnusable, CacheUnavailable) as error:
        return error.message


def _open(
    session: Session, found: FoundSource, candidates: Sequence[Candidate[T]], within: str | None
) -> _Opened[T]:
    """Opens what is to be compared: own always, others as far as they can be."""
    cache = get_cache()
    own = next(each for each in candidates if each.found.source.id == found.source.id)
    if own.stored is None:
        raise AtlasMissing(f"{found.model.slug}/{found.source.slug} {own.reason}.")
    opened = _Opened(cache.open(session, own.stored))
    for each in candidates:
        slug = each.found.source.slug
        if within not in (None, slug):
            continue
        try:
            arrays = cache.open(session, each.stored) if each.stored else None
        except AtlasUnusable as error:
            arrays, each = None, replace(each, reason=error.message)
        if arrays is None:
            opened.left_out.append(LeftOut(source=slug, reason=each.reason))
            continue
        if each is own:
            opened.place = len(opened.arrays)
        opened.candidates.append(each)
        opened.arrays.append(arrays)
    return opened


def _items(
    session: Session,
    found: FoundSource,
    candidates: Sequence[Candidate[Any]],
    nearest: Nearest,
    limit: int,
) -> list[SimilarUnit]:
    """The nearest with what helps to tell them apart: five queries, whatever their number."""
    chosen = [
        (candidates[place], unit, value)
        for place, unit, value in zip(
            nearest.sources[:limit].tolist(),
            nearest.indices[:limit].tolist(),
            nearest.values[:limit].tolist(),
            strict=True,
        )
    ]
    units: dict[int, tuple[Candidate[Any], list[int]]] = {}
    for each, unit, _ in chosen:
        units.setdefault(each.found.source.id, (each, []))[1].append(unit)
    if not units:
        return []
    figures, promoted = _figures(session, units), _promoted(session, units)
    ids = {i for found_ids in promoted.values() for i in found_ids}
    ids |= {row.top_token for row in figures.values() if row.top_token is not None}
    names = token_texts(session, found.model.tokenizer_id, ids)
    said = newest_of(session, {source_id: indices for source_id, (_, indices) in units.items()})
    labels = _labels(session, units)
    return [
        _item(
            each,
            unit,
            value,
            figures.get((each.found.source.id, unit)),
            [names[i] for i in promoted.get((each.found.source.id, unit), ())],
            names,
            said.get((each.found.source.id, unit)),
            labels.get((each.found.source.id, unit)),
        )
        for each, unit, value in chosen
    ]


def _figures(
    session: Session, units: dict[int, tuple[Candidate[Any], list[int]]]
) -> dict[_Key, Any]:
    """Rows of figures, of the units whose source was scanned over the corpus."""
    of_sources = [
        and_(
            UnitStats.scan_id == each.scan.scan.id,
            UnitStats.source_id == source_id,
            UnitStats.index.in_(indices),
        )
        for source_id, (each, indices) in units.items()
        if each.scan is not None
    ]
    if not of_sources:
        return {}
    query = select(
        UnitStats.source_id,
        UnitStats.index.label("unit_index"),
        UnitStats.density,
        UnitStats.max,
        UnitStats.token_ids[1].label("top_token"),
    ).where(or_(*of_sources))
    return {(row.source_id, row.unit_index): row for row in session.execute(query)}


def _labels(
    session: Session, units: dict[int, tuple[Candidate[Any], list[int]]]
) -> dict[_Key, UnitLabel]:
    """The automatic labels, of the units whose source was scanned over the corpus."""
    over = {
        (each.scan.scan.id, source_id): indices
        for source_id, (each, indices) in units.items()
        if each.scan is not None
    }
    found = labels_at(session, over)
    return {(source_id, unit): label for (_, source_id, unit), label in found.items()}


def _promoted(
    session: Session, units: dict[int, tuple[Candidate[Any], list[int]]]
) -> dict[_Key, list[int]]:
    """The few tokens that each promotes most."""
    of_sources = [
        and_(Unit.source_id == source_id, Unit.index.in_(indices))
        for source_id, (_, indices) in units.items()
    ]
    query = select(Unit.source_id, Unit.index, Unit.promoted_ids[1:N_PROMOTED]).where(
        or_(*of_sources)
    )
    return {(source, unit): ids for source, unit, ids in session.execute(query)}


def _item(
    each: Candidate[Any],
    unit: int,
    value: float,
    row: Any,
    promoted: list[str],
    names: dict[int, str],
    explanation: UnitExplanation | None,
    label: UnitLabel | None,
) -> SimilarUnit:
    model, source = each.found.model.slug, each.found.source
    corpus = each.found.corpus_for_link(each.scan.corpus) if each.scan else None
    page = urls.unit(model, source.slug, unit, corpus=corpus)
    return SimilarUnit.model_validate(
        {
            "model": model,
            "source": source.slug,
            "index": unit,
            "kind": source.kind,
            "layer": source.layer,
            "value": value,
            "density": None if row is None else row.density,
            "max": None if row is None else row.max,
            "top_token": None if row is None or row.top_token is None else names[row.top_token],
            "promoted": promoted,
            "label": label,
            "explanation": explanation,
            "page": page,
            "links": UnitLinks(
                self=urls.api_unit(model, source.slug, unit),
                page=page,
                examples=urls.api_examples(model, source.slug, unit, corpus=corpus),
                similar=urls.api_similar(model, source.slug, unit, corpus=corpus),
                source=urls.source(model, source.slug, corpus=corpus),
            ),
        }
    )
