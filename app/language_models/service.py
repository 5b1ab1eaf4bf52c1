"""What the pages of home and of a model show."""

from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.corpora.queries import list_corpora
from app.corpora.schemas import CorpusDetail
from app.cursors import MAX_LIMIT
from app.errors import NotFound
from app.language_models.queries import get_model, list_models
from app.language_models.schemas import ModelDetail
from app.plots import Plot, density_plot
from app.sources.queries import list_sources
from app.sources.schemas import SourceDetail, SourceScan
from app.units.schemas import UnitKind

COLUMNS: dict[UnitKind, str] = {
    "neuron": "MLP neurons",
    "sae_latent": "SAE latents",
    "transcoder_latent": "Transcoder latents",
}
SPARK_WIDTH, SPARK_HEIGHT = 120.0, 28.0


class HomePage(NamedTuple):
    """All there is to read."""

    models: list[ModelDetail]
    corpora: list[CorpusDetail]


class SourceCell(NamedTuple):
    """A source in the grid, over one corpus."""

    source: SourceDetail
    scan: SourceScan
    n_dead: int
    plot: Plot | None


class Layer(NamedTuple):
    """A row of the grid: the layer's sources, a list for each column."""

    layer: int
    columns: list[list[SourceCell]]


@dataclass(frozen=True, slots=True)
class ModelPage:
    """A model's sources over `corpus`, or each over its largest where none is chosen."""

    model: ModelDetail
    corpus: str | None
    headings: list[str]
    layers: list[Layer]


def home_page(session: Session) -> HomePage:
    """Models and corpora by their slugs; the first few hundred of each."""
    return HomePage(
        list_models(session, limit=MAX_LIMIT).items, list_corpora(session, limit=MAX_LIMIT).items
    )


def model_page(session: Session, slug: str, corpus: str | None) -> ModelPage:
    """Layers × kinds of source. Raises NotFound for a model, or a corpus it was not scanned on."""
    model = get_model(session, slug)
    if corpus is not None and corpus not in model.corpora:
        raise NotFound(
            f"{slug} was not scanned over {corpus!r}. It was over: {', '.join(model.corpora)}."
        )
    sources = list_sources(session, slug, limit=MAX_LIMIT).items
    kinds = [kind for kind in COLUMNS if any(source.kind == kind for source in sources)]
    cells = [cell for source in sources for cell in _cells(source, corpus)]
    layers = [
        Layer(layer, [[cell for cell in row if cell.source.kind == kind] for kind in kinds])
        for layer, group in groupby(cells, lambda cell: cell.source.layer)
        for row in [list(group)]
    ]
    return ModelPage(model, corpus, [COLUMNS[kind] for kind in kinds], layers)


def _cells(source: SourceDetail, corpus: str | None) -> list[SourceCell]:
    """The source over `corpus`, if it was scanned there; one cell at most."""
    for scan in source.scans:
        if corpus is None or scan.corpus == corpus:
            plot = density_plot(scan.density_histogram, width=SPARK_WIDTH, height=SPARK_HEIGHT)
            return [SourceCell(source, scan, source.n_units - scan.n_alive, plot)]
    return []
