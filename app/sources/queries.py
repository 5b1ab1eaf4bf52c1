"""Reading sources and their current scans. A source is seen once a scan of it is complete."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, exists, select, tuple_
from sqlalchemy.orm import Session, defer

from app import cursors, slugs, urls
from app.cursors import DEFAULT_LIMIT, Page
from app.errors import NotFound
from app.language_models.queries import find_model, unknown
from app.models import Corpus, LanguageModel, Scan, ScanSource, Source
from app.sources.schemas import SourceDetail, SourceScan

# What of a scan only its workers and the comparison of atlases read; it may be long.
WITHOUT_BLOBS = (defer(Scan.atlas_windows), defer(Scan.request))
LARGEST_FIRST = (Corpus.n_tokens.desc(), Corpus.slug)


@dataclass(frozen=True, slots=True)
class CurrentScan:
    """The current scan of one source over one corpus."""

    scan: Scan
    scan_source: ScanSource
    corpus: Corpus


@dataclass(frozen=True, slots=True)
class FoundSource:
    """A source with its model and its current scans, the one over the largest corpus first."""

    model: LanguageModel
    source: Source
    scans: list[CurrentScan]

    def scan_over(self, corpus: str | None) -> CurrentScan:
        """The scan over `corpus`, or the first. Raises NotFound naming the corpora there are."""
        if corpus is None:
            return self.scans[0]
        for scan in self.scans:
            if scan.corpus.slug == corpus:
                return scan
        over = [scan.corpus.slug for scan in self.scans]
        where = urls.api_source(self.model.slug, self.source.slug)
        raise NotFound(
            unknown(f"scan of {self.source.slug} over the corpus {{}}", corpus, over, where)
        )

    def corpus_for_link(self, corpus: Corpus) -> str | None:
        """The corpus as addresses name it: not at all where it is the one shown by default."""
        return None if corpus.id == self.scans[0].corpus.id else corpus.slug


def list_sources(
    session: Session, model: str, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[SourceDetail]:
    """A model's sources by layer, then slug."""
    row = find_model(session, model)
    listing = f"sources|{row.id}"
    query = (
        select(Source)
        .where(Source.language_model_id == row.id, is_scanned())
        .order_by(Source.layer, Source.slug)
        .limit(limit + 1)
    )
    if cursor is not None:
        after = cursors.decode(listing, cursor, (int, str))
        query = query.where(tuple_(Source.layer, Source.slug) > tuple_(*after))
    found = session.scalars(query).all()
    shown = found[:limit]
    scans = current_scans(session, [source.id for source in shown])
    items = [_detail(FoundSource(row, source, scans[source.id])) for source in shown]
    more = None
    if len(found) > limit:
        more = cursors.encode(listing, (shown[-1].layer, shown[-1].slug))
    return Page(items=items, next=more)


def get_source(session: Session, model: str, source: str) -> SourceDetail:
    """One source. Raises NotFound, naming some that there are."""
    return _detail(find_source(session, model, source))


def find_source(session: Session, model: str, source: str) -> FoundSource:
    """The rows of a source. Raises NotFound, naming some that there are."""
    seen: dict[tuple[str, str], FoundSource] = session.info.setdefault("found_sources", {})
    if (found := seen.get((model, source))) is not None:
        return found  # a page asks for several things of one source in one unit of work
    if slugs.is_slug(model) and slugs.is_slug(source):
        query = (
            select(LanguageModel, Source, Scan, ScanSource, Corpus)
            .join(Source, Source.language_model_id == LanguageModel.id)
            .join(ScanSource, (ScanSource.source_id == Source.id) & ScanSource.is_current)
            .join(Scan, Scan.id == ScanSource.scan_id)
            .join(Corpus, Corpus.id == ScanSource.corpus_id)
            .where(LanguageModel.slug == model, Source.slug == source)
            .options(*WITHOUT_BLOBS)
            .order_by(*LARGEST_FIRST)
        )
        if rows := session.execute(query).all():
            scans = [CurrentScan(*row[2:]) for row in rows]
            seen[model, source] = FoundSource(rows[0][0], rows[0][1], scans)
            return seen[model, source]
    known = session.scalars(
        select(Source.slug)
        .where(Source.language_model_id == find_model(session, model).id, is_scanned())
        .order_by(Source.layer, Source.slug)
    ).all()
    raise NotFound(unknown("source {} of " + model, source, known, urls.api_sources(model)))


def find_unit(session: Session, model: str, source: str, index: int) -> FoundSource:
    """The source that has the unit `index`. Raises NotFound, stating which units there are."""
    found = find_source(session, model, source)
    if not 0 <= index < found.source.n_units:
        raise NotFound(
            f"{model}/{source} has no unit {index}: its units are 0 to {found.source.n_units - 1}."
        )
    return found


def find_sources(session: Session, model: LanguageModel) -> list[FoundSource]:
    """All sources of a model, by layer, then slug."""
    query = (
        select(Source)
        .where(Source.language_model_id == model.id, is_scanned())
        .order_by(Source.layer, Source.slug)
    )
    found = session.scalars(query).all()
    scans = current_scans(session, [source.id for source in found])
    return [FoundSource(model, source, scans[source.id]) for source in found]


def current_scans(session: Session, source_ids: Sequence[int]) -> dict[int, list[CurrentScan]]:
    """For each source its current scans, the one over the largest corpus first."""
    query: Select[Scan, ScanSource, Corpus] = (
        select(Scan, ScanSource, Corpus)
        .join(ScanSource, ScanSource.scan_id == Scan.id)
        .join(Corpus, Corpus.id == ScanSource.corpus_id)
        .where(ScanSource.source_id.in_(source_ids), ScanSource.is_current)
        .options(*WITHOUT_BLOBS)
        .order_by(*LARGEST_FIRST)
    )
    scans: dict[int, list[CurrentScan]] = {source_id: [] for source_id in source_ids}
    for scan, scan_source, corpus in session.execute(query):
        scans[scan_source.source_id].append(CurrentScan(scan, scan_source, corpus))
    return scans


def is_scanned() -> ColumnElement[bool]:
    """Whether the query's `Source` has a complete scan; without one it is not seen."""
    return exists().where(ScanSource.source_id == Source.id, ScanSource.is_current)


def _detail(found: FoundSource) -> SourceDetail:
    source = found.source
    return SourceDetail.model_validate(
        {
            "model": found.model.slug,
            "source": source.slug,
            "kind": source.kind,
            "hook_point": source.hook_point,
            "hook_point_out": source.hook_point_out,
            "layer": source.layer,
            "n_units": source.n_units,
            "weights_hash": source.weights_hash,
            "details": source.details,
            "scans": [_scan(scan) for scan in found.scans],
            "page": urls.source(found.model.slug, source.slug),
        }
    )


def _scan(current: CurrentScan) -> SourceScan:
    finished = current.scan.finished_at or current.scan.created_at
    return SourceScan(
        corpus=current.corpus.slug,
        n_tokens=current.corpus.n_tokens,
        n_alive=current.scan_source.n_alive,
        n_atlas_positions=current.scan_source.n_atlas_positions,
        density_histogram=current.scan_source.density_histogram,
        settings=current.scan.settings,
        software_version=current.scan.software_version,
        finished_at=finished.isoformat(),
    )
