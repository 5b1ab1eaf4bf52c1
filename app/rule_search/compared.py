"""The atlases that a rule is held against: of a model's sources, over one corpus and one sample."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app import urls
from app.atlas.cache import get_cache
from app.atlas.errors import AtlasMissing, AtlasUnusable
from app.atlas.opened import OpenAtlas
from app.atlas.queries import Candidate, atlases
from app.errors import NotFound
from app.language_models.queries import find_model, unknown
from app.models import Source
from app.rules.atlas_text import AtlasText
from app.rules.stored_text import open_text
from app.sources.queries import CurrentScan, FoundSource, find_sources
from app.units.schemas import LeftOut, UnitKind


@dataclass
class Compared:
    """Sources and their open atlases, in the order of layers, all of the text's positions."""

    text: AtlasText
    corpus: str
    candidates: list[Candidate[OpenAtlas]] = field(default_factory=list)
    atlases: list[OpenAtlas] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def place_of(self, source: Source) -> int:
        """Where a source's atlas is. Raises AtlasMissing that says why it was left out."""
        ids = [each.found.source.id for each in self.candidates]
        if source.id in ids:
            return ids.index(source.id)
        why = next((each.reason for each in self.left_out if each.source == source.slug), "")
        raise AtlasMissing(
            f"There is no atlas of {source.slug} to hold a rule against: {why.rstrip('.')}."
        )


def compared(
    session: Session,
    model: str,
    *,
    sources: Sequence[str] | None = None,
    kinds: Sequence[UnitKind] | None = None,
    corpus: str | None = None,
    own: CurrentScan | None = None,
) -> Compared:
    """The model's atlases of one sample, those asked for.

    The sample is that of `own`, else of the first source that has one, over `corpus` or the
    largest. Raises NotFound for a model, source or corpus that is not there, AtlasMissing where no
    source has an atlas, AtlasUnusable and CacheUnavailable where none can be read.
    """
    row = find_model(session, model)
    found = find_sources(session, row)
    _check_known(model, found, sources, corpus)
    chosen = [
        each
        for each in found
        if (sources is None or each.source.slug in sources)
        and (kinds is None or each.source.kind in kinds)
    ]
    scan = own or _sample_of(session, chosen or found, corpus)
    text = open_text(session, scan.scan.id)
    opened = Compared(text, scan.corpus.slug)
    for each in atlases(session, chosen, scan):
        _open(session, each, opened)
    return opened


def _open(session: Session, each: Candidate[OpenAtlas], opened: Compared) -> None:
    slug = each.found.source.slug
    if each.stored is None:
        opened.left_out.append(LeftOut(source=slug, reason=each.reason))
        return
    try:
        atlas = get_cache().open(session, each.stored)
    except AtlasUnusable as error:
        opened.left_out.append(LeftOut(source=slug, reason=error.message))
        return
    if atlas.n_positions != opened.text.n_positions:
        reason = (
            f"has an atlas of {atlas.n_positions:,} positions, and its windows have "
            f"{opened.text.n_positions:,}; index it again"
        )
        opened.left_out.append(LeftOut(source=slug, reason=reason))
        return
    opened.candidates.append(each)
    opened.atlases.append(atlas)


def _sample_of(session: Session, sources: Sequence[FoundSource], corpus: str | None) -> CurrentScan:
    """The first scan over the corpus asked for, or the largest, of which an atlas was kept.

    Raises NotFound where there is no such scan, AtlasMissing where none has an atlas.
    """
    scans = [scan for each in sources for scan in each.scans if corpus in (None, scan.corpus.slug)]
    if not scans:
        named = ", ".join(each.source.slug for each in sources)
        raise NotFound(f"None of these was scanned over {corpus}: {named}. Index them over it.")
    scans.sort(key=lambda scan: (-scan.corpus.n_tokens, scan.corpus.slug))
    for scan in scans:
        of_sample = atlases(session, sources, scan)
        if any(each.stored is not None for each in of_sample):
            return scan
    raise AtlasMissing(
        "These sources were scanned before atlases were kept, so there is nothing to hold a rule "
        "against. Index them again."
    )


def _check_known(
    model: str, found: Sequence[FoundSource], sources: Sequence[str] | None, corpus: str | None
) -> None:
    known = [each.source.slug for each in found]
    for slug in sources or ():
        if slug not in known:
            what = "source {} of " + model
            raise NotFound(unknown(what, slug, known, urls.api_sources(model)))
    corpora = sorted({scan.corpus.slug for each in found for scan in each.scans})
    if corpus is not None and corpus not in corpora:
        what = f"scan of {model} over the corpus {{}}"
        raise NotFound(unknown(what, corpus, corpora, urls.api_model(model)))
