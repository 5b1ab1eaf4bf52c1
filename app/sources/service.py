"""What the page of a source shows: the state of the listing, the plot that selects, the rows."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from sqlalchemy.orm import Session

from app import urls
from app.cursors import Page
from app.errors import NotFound
from app.labels.best import MIN_EXPLAINED
from app.labels.queries import Explained, explained_histogram
from app.plots import Plot, density_plot, explained_plot
from app.sources.queries import find_source, get_source
from app.sources.schemas import SourceDetail, SourceScan
from app.units.listing import Order, SortKey
from app.units.queries import list_units
from app.units.schemas import UnitKind, UnitRow

PAGE_SIZE = 50
# "Dense" units fire on so much that their strongest examples say little of what they do.
DENSE_FROM = 0.1
MOST_UNEXPLAINED = float(str(np.nextafter(np.float32(MIN_EXPLAINED), np.float32(0))))

KINDS_PLURAL: dict[UnitKind, str] = {
    "neuron": "neurons",
    "sae_latent": "SAE latents",
    "transcoder_latent": "transcoder latents",
}

# What a click on a heading sorts by first.
FIRST_ORDER: dict[SortKey, Order] = {
    "name": "asc",
    "density": "desc",
    "max": "desc",
    "mean": "desc",
    "r2": "desc",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """The state of the listing; all of it stands in the address."""

    corpus: str | None = None
    sort: SortKey = "name"
    order: Order | None = None
    alive: bool | None = None
    dense: bool | None = None
    min_density: float | None = None
    max_density: float | None = None
    min_r2: float | None = None
    max_r2: float | None = None
    q: str | None = None
    cursor: str | None = None

    @property
    def direction(self) -> Order:
        """The order in force."""
        return self.order or FIRST_ORDER.get(self.sort, "desc")

    @property
    def is_filtered(self) -> bool:
        """Whether some units are left out."""
        chosen = (
            self.alive, self.dense, self.min_density, self.max_density, self.min_r2, self.max_r2,
            self.q,
        )  # fmt: skip
        return any(value is not None for value in chosen)

    @property
    def upper_density(self) -> float | None:
        """The greatest density listed: the stricter of `max_density` and "no dense units"."""
        limits = [limit for limit in (self.max_density, self._dense_limit) if limit is not None]
        return min(limits, default=None)

    @property
    def _dense_limit(self) -> float | None:
        return DENSE_FROM if self.dense is False else None

    def href(self, source: SourceDetail) -> str:
        """The address of the listing in this state."""
        return urls.source(
            source.model,
            source.source,
            corpus=self.corpus,
            q=self.q,
            alive=self.alive,
            dense=self.dense,
            min_density=self.min_density,
            max_density=self.max_density,
            min_r2=self.min_r2,
            max_r2=self.max_r2,
            sort=None if self.sort == "name" else self.sort,
            order=self.order,
            cursor=self.cursor,
        )


class Heading(NamedTuple):
    """A column that can be sorted by; `aria_sort` is empty where it is not."""

    key: SortKey
    label: str
    href: str
    aria_sort: str


class Choice(NamedTuple):
    """One of several corpora, as a link."""

    label: str
    href: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class UnitsPart:
    """The page, and the part of it that htmx swaps: both show the same."""

    source: SourceDetail
    scan: SourceScan
    listing: Listing
    units: Page[UnitRow]
    plot: Plot | None
    explained: Explained
    explained_plot: Plot | None

    @property
    def n_unlabelled(self) -> int:
        return self.source.n_units - self.explained.n_labelled

    @property
    def explained_href(self) -> str:
        """The units that their label explains."""
        return Listing(self.listing.corpus, min_r2=MIN_EXPLAINED).href(self.source)

    @property
    def n_unexplained(self) -> int:
        return self.explained.n_labelled - self.explained.n_explained

    @property
    def unexplained_href(self) -> str:
        """The units whose best rule explains less: up to the nearest number below the bound."""
        return Listing(self.listing.corpus, max_r2=MOST_UNEXPLAINED).href(self.source)

    @property
    def least_explained(self) -> float:
        """In percent."""
        return MIN_EXPLAINED * 100

    @property
    def n_dead(self) -> int:
        return self.source.n_units - self.scan.n_alive

    @property
    def dead_href(self) -> str:
        return Listing(self.listing.corpus, alive=False).href(self.source)

    @property
    def kind_plural(self) -> str:
        return KINDS_PLURAL[self.source.kind]

    @property
    def dense_from(self) -> float:
        """In percent."""
        return DENSE_FROM * 100

    @property
    def page_size(self) -> int:
        return PAGE_SIZE

    @property
    def headings(self) -> list[Heading]:
        labels: dict[SortKey, str] = {
            "name": "unit",
            "density": "density",
            "max": "maximum",
            "mean": "mean",
        }
        return [self._heading(key, label) for key, label in labels.items()]

    @property
    def r2_heading(self) -> Heading:
        """Of the column that says how much the automatic labels explain."""
        return self._heading("r2", "R²")

    def _heading(self, key: SortKey, label: str) -> Heading:
        is_current = key == self.listing.sort
        order = FIRST_ORDER[key]
        if is_current:
            order = "asc" if self.listing.direction == "desc" else "desc"
        link = replace(self.listing, sort=key, order=order, cursor=None).href(self.source)
        words = {"asc": "ascending", "desc": "descending"}
        return Heading(key, label, link, words[self.listing.direction] if is_current else "")

    @property
    def next_href(self) -> str | None:
        if self.units.next is None:
            return None
        return replace(self.listing, cursor=self.units.next).href(self.source)

    @property
    def first_href(self) -> str | None:
        """The first page, for a reader who is on a later one."""
        return replace(self.listing, cursor=None).href(self.source) if self.listing.cursor else None

    @property
    def all_href(self) -> str:
        """The listing without filters, in the same order."""
        kept = Listing(self.listing.corpus, self.listing.sort, self.listing.order)
        return kept.href(self.source)

    @property
    def json_href(self) -> str:
        listing = self.listing
        return urls.api_units(
            self.source.model,
            self.source.source,
            corpus=listing.corpus,
            sort=listing.sort,
            order=listing.direction,
            alive=listing.alive,
            min_density=listing.min_density,
            max_density=listing.upper_density,
            min_r2=listing.min_r2,
            max_r2=listing.max_r2,
            q=listing.q,
        )

    @property
    def corpora(self) -> list[Choice]:
        return [
            Choice(
                each.corpus,
                Listing(corpus=each.corpus if i else None).href(self.source),
                each.corpus == self.scan.corpus,
            )
            for i, each in enumerate(self.source.scans)
        ]


def units_part(session: Session, model: str, source: str, listing: Listing) -> UnitsPart:
    """The listing in the state asked for. Raises NotFound, and InvalidInput for a stray cursor."""
    detail = get_source(session, model, source)
    scan = _scan_over(detail, listing.corpus)
    units = list_units(
        session,
        model,
        source,
        corpus=listing.corpus,
        sort=listing.sort,
        order=listing.direction,
        alive=listing.alive,
        min_density=listing.min_density,
        max_density=listing.upper_density,
        min_r2=listing.min_r2,
        max_r2=listing.max_r2,
        q=listing.q,
        limit=PAGE_SIZE,
        cursor=listing.cursor,
    )
    own = find_source(session, model, source).scan_over(listing.corpus)
    explained = explained_histogram(session, own.scan.id, own.scan_source.source_id)
    return UnitsPart(
        detail,
        scan,
        listing,
        units,
        _plot(detail, scan, listing),
        explained,
        _explained_plot(detail, explained, listing),
    )


def _explained_plot(source: SourceDetail, explained: Explained, listing: Listing) -> Plot | None:
    def href(low: float, high: float) -> str:
        return replace(listing, min_r2=low, max_r2=high, cursor=None).href(source)

    selected = (listing.min_r2 or 0.0, 1.0 if listing.max_r2 is None else listing.max_r2)
    return explained_plot(explained.counts, href, selected)


def _plot(source: SourceDetail, scan: SourceScan, listing: Listing) -> Plot | None:
    def href(low: float, high: float) -> str:
        chosen = replace(
            listing, min_density=low, max_density=high, alive=None, dense=None, cursor=None
        )
        return chosen.href(source)

    selected = (listing.min_density or 0.0, listing.upper_density or 1.0)
    return density_plot(scan.density_histogram, href, selected)


def _scan_over(source: SourceDetail, corpus: str | None) -> SourceScan:
    for scan in source.scans:
        if corpus is None or scan.corpus == corpus:
            return scan
    names = ", ".join(scan.corpus for scan in source.scans)
    raise NotFound(
        f"{source.model}/{source.source} was not scanned over {corpus!r}. It was over: {names}."
    )
