"""What the unit's page shows: the unit over one corpus, a plot, and one list of examples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy.orm import Session

from app import urls
from app.cursors import Page
from app.errors import NotFound
from app.hypotheses.queries import list_of_unit
from app.hypotheses.schemas import HypothesisDetail
from app.labels.queries import is_labelled
from app.labels.schemas import UnitLabel
from app.numbers import format_count
from app.plots import Plot, activation_plot
from app.search.questions import logit_query, token_query
from app.sources.queries import find_source
from app.units.cells import CellRow, ColourScale, cell_row, colour_scale
from app.units.queries import example_kinds, get_unit, list_examples, unit_tokens
from app.units.schemas import (
    Example,
    ExampleKind,
    Interval,
    Stats,
    TokenShare,
    UnitDetail,
    UnitKind,
)

MAX_EXAMPLES = 60  # more than a scan keeps of one kind
EMBED_EXAMPLES = 10

KIND_NAMES: dict[UnitKind, str] = {
    "neuron": "Neuron",
    "sae_latent": "SAE latent",
    "transcoder_latent": "Transcoder latent",
}
TABS: dict[ExampleKind, str] = {
    "top": "Strongest",
    "interval": "Intervals",
    "bottom": "Weakest",
    "random": "Random",
    "active": "Active at random",
}
ABOUT: dict[ExampleKind, str] = {
    "top": "The windows of highest activation in the whole corpus, identical windows once.",
    "interval": "Drawn uniformly from each band of activation, the highest band first. The "
    "position drawn is underlined.",
    "bottom": "The windows of lowest activation in the whole corpus, identical windows once.",
    "random": "Windows drawn uniformly from the sample, whatever the unit does there. The highest "
    "activation of each is underlined.",
    "active": "Drawn uniformly from all windows of the corpus where this unit is active, since the "
    "sample holds few of them. The highest activation of each is underlined.",
}
NOTHING: dict[ExampleKind, str] = {
    "top": "The unit is never above zero in this corpus, so it has no strongest examples.",
    "interval": "No sample was kept of this unit, so there are no intervals.",
    "bottom": "The unit never goes below zero in this corpus: its weakest activation is 0.",
    "random": "No sample was kept of this unit.",
    "active": "None were drawn: the sample holds enough of this unit’s activity, or there is none.",
}


@dataclass(frozen=True, slots=True)
class View:
    """What the reader chose; all of it stands in the address. None: the largest corpus."""

    corpus: str | None = None
    kind: ExampleKind = "top"
    whole: bool = False
    numbers: bool = False
    embed: bool = False

    def href(self, unit: UnitDetail, index: int | None = None) -> str:
        """The address of this view of `unit`, or of another unit of its source."""
        return urls.unit(
            unit.model,
            unit.source,
            unit.index if index is None else index,
            corpus=self.corpus,
            kind=None if self.kind == "top" else self.kind,
            whole=self.whole,
            numbers=self.numbers,
            embed=self.embed,
        )


class Choice(NamedTuple):
    """One of several views, as a link."""

    label: str
    href: str
    is_current: bool


class OverCorpus(NamedTuple):
    """The unit over one of its corpora; the link shows it there."""

    corpus: Choice
    stats: Stats
    label: UnitLabel | None


class Shown(NamedTuple):
    """An example and its layout."""

    example: Example
    row: CellRow


class Group(NamedTuple):
    """An interval and its examples."""

    interval: Interval
    examples: list[Shown]


@dataclass(frozen=True, slots=True)
class ExamplesPart:
    """The part of the page that the tabs change; also the whole of the fragment.

    kinds  those that examples are kept of
    """

    unit: UnitDetail
    stats: Stats
    view: View
    scale: ColourScale
    examples: list[Shown]
    kinds: set[str]

    @property
    def tabs(self) -> list[Choice]:
        """The kinds of examples there are: weakest only for a unit that goes below zero, active
        ones where some were drawn."""
        is_there = {"bottom": self.stats.min < 0, "active": "active" in self.kinds}
        return [
            Choice(label, replace(self.view, kind=kind).href(self.unit), kind == self.view.kind)
            for kind, label in TABS.items()
            if is_there.get(kind, True) or self.view.kind == kind
        ]

    @property
    def groups(self) -> list[Group]:
        """The intervals, the highest first, with their examples."""
        return [
            Group(interval, [s for s in self.examples if _is_of(s.example, interval)])
            for interval in reversed(self.stats.intervals)
        ]

    @property
    def about(self) -> str:
        return ABOUT[self.view.kind]

    @property
    def about_errors(self) -> str:
        """What the ± beside the intervals' shares means; "" where there is none."""
        if not any(each.share_of_positions_error for each in self.stats.intervals):
            return ""
        n = self.stats.histogram.n_windows
        sample = "a uniform sample" + (f" of {format_count(n)} windows" if n else "")
        return f"Shares are estimated from {sample}; ± is one standard error, by documents."

    @property
    def nothing(self) -> str:
        return NOTHING[self.view.kind]

    @property
    def whole_href(self) -> str:
        return replace(self.view, whole=not self.view.whole).href(self.unit)

    @property
    def numbers_href(self) -> str:
        return replace(self.view, numbers=not self.view.numbers).href(self.unit)

    @property
    def json_href(self) -> str:
        unit = self.unit
        return urls.api_examples(
            unit.model, unit.source, unit.index, kind=self.view.kind, corpus=self.view.corpus
        )


@dataclass(frozen=True, slots=True)
class UnitPage(ExamplesPart):
    """The whole page."""

    plot: Plot | None
    token_shares: list[TokenShare]
    is_labelled: bool
    hypotheses: Page[HypothesisDetail]

    @property
    def kind_name(self) -> str:
        return KIND_NAMES[self.unit.kind]

    @property
    def is_dead(self) -> bool:
        return self.stats.n_active == 0

    @property
    def share_zero(self) -> float:
        histogram = self.stats.histogram
        return histogram.n_zero / histogram.n_positions if histogram.n_positions else 0.0

    @property
    def about_sample(self) -> str:
        """What the sample cannot show (the rule of three); "" where it is all of the corpus."""
        sample = self.stats.histogram
        if not 0 < sample.n_positions < self.stats.n_tokens:
            return ""
        words = (
            f"What happens at fewer than about 3 in {format_count(sample.n_positions)} positions"
        )
        if sample.n_windows:
            words += f", or in fewer than about 3 in {format_count(sample.n_windows)} windows,"
        return f"{words} may be missing from it."

    @property
    def label(self) -> UnitLabel | None:
        """The automatic label over the corpus shown."""
        corpus = self.stats.corpus
        return next((each for each in self.unit.labels if each.corpus == corpus), None)

    @property
    def label_href(self) -> str:
        """The evidence for the label, and against it."""
        assert self.label is not None
        unit, corpus = self.unit, self.view.corpus
        return urls.evidence(
            unit.model, unit.source, unit.index, rule=self.label.text, corpus=corpus
        )

    @property
    def evidence_href(self) -> str:
        unit = self.unit
        return urls.evidence(unit.model, unit.source, unit.index)

    @property
    def similar_href(self) -> str:
        unit = self.unit
        return urls.similar(unit.model, unit.source, unit.index, corpus=self.view.corpus)

    @property
    def corpora(self) -> list[Choice]:
        """The corpora that the unit was scanned on; the first needs no word in the address."""
        return [
            Choice(
                each.corpus,
                replace(self.view, corpus=each.corpus if i else None).href(self.unit),
                each.corpus == self.stats.corpus,
            )
            for i, each in enumerate(self.unit.stats)
        ]

    @property
    def over_corpora(self) -> list[OverCorpus]:
        """The unit over each corpus, the largest first; none for a unit of one."""
        labels = {label.corpus: label for label in self.unit.labels}
        over = [
            OverCorpus(choice, stats, labels.get(stats.corpus))
            for choice, stats in zip(self.corpora, self.unit.stats, strict=True)
        ]
        return over if len(over) > 1 else []

    @property
    def intervals_href(self) -> str:
        return replace(self.view, kind="interval").href(self.unit) + "#examples"

    @property
    def previous_href(self) -> str | None:
        return self.view.href(self.unit, self.unit.index - 1) if self.unit.links.previous else None

    @property
    def next_href(self) -> str | None:
        return self.view.href(self.unit, self.unit.index + 1) if self.unit.links.next else None

    def search_for_token(self, token: str) -> str:
        """What to type to find the units that `token` moves."""
        return token_query(token)

    def search_for_logit(self, token: str) -> str:
        """What to type to find the units that promote `token`."""
        return logit_query(token)


def unit_page(session: Session, model: str, source: str, index: int, view: View) -> UnitPage:
    """The page of a unit. Raises NotFound for a unit or a corpus that is not there."""
    unit = get_unit(session, model, source, index)
    stats = _stats_over(unit, view.corpus)
    scan = find_source(session, model, source).scan_over(view.corpus)
    return UnitPage(
        unit=unit,
        stats=stats,
        view=view,
        scale=(scale := colour_scale(stats, view.kind)),
        examples=_shown(session, unit, view, scale),
        kinds=example_kinds(session, model, source, index, corpus=view.corpus),
        plot=activation_plot(stats.histogram, stats.intervals),
        token_shares=unit_tokens(session, model, source, index, corpus=view.corpus),
        is_labelled=is_labelled(session, scan.scan.id, scan.scan_source.source_id),
        hypotheses=list_of_unit(session, model, source, index),
    )


def examples_part(
    session: Session, model: str, source: str, index: int, view: View
) -> ExamplesPart:
    """The list of examples alone, for a tab that is swapped in."""
    unit = get_unit(session, model, source, index)
    stats = _stats_over(unit, view.corpus)
    scale = colour_scale(stats, view.kind)
    kinds = example_kinds(session, model, source, index, corpus=view.corpus)
    return ExamplesPart(unit, stats, view, scale, _shown(session, unit, view, scale), kinds)


def _shown(session: Session, unit: UnitDetail, view: View, scale: ColourScale) -> list[Shown]:
    found = list_examples(
        session,
        unit.model,
        unit.source,
        unit.index,
        kind=view.kind,
        corpus=view.corpus,
        limit=EMBED_EXAMPLES if view.embed else MAX_EXAMPLES,
    )
    return [Shown(each, cell_row(each, scale)) for each in found]


def _stats_over(unit: UnitDetail, corpus: str | None) -> Stats:
    for stats in unit.stats:
        if corpus is None or stats.corpus == corpus:
            return stats
    raise NotFound(
        f"{unit.model}/{unit.source}/{unit.index} was not scanned over {corpus!r}. "
        f"It was over: {_names(unit.stats)}."
    )


def _names(stats: Sequence[Stats]) -> str:
    return ", ".join(each.corpus for each in stats) or "no corpus"


def _is_of(example: Example, interval: Interval) -> bool:
    return example.interval is not None and example.interval.index == interval.index
