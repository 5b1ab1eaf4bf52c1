"""The page of the evidence on one unit and one rule."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app import urls
from app.errors import AppError, InvalidInput, NotFound
from app.numbers import format_count
from app.rule_search.evidence import report_evidence
from app.rule_search.figures import Figure
from app.rule_search.names import ABOUT, NAMES
from app.rule_search.schemas import CounterExample, Evidence, EvidenceQuestion, OtherCorpus
from app.rule_search.threshold_plot import ThresholdPlot, threshold_plot
from app.rules.given import read_rule, sent_rule
from app.search.questions import rule_query
from app.sources.queries import FoundSource, find_unit
from app.units.cells import ColourScale, cell_row, colour_scale
from app.units.queries import get_unit
from app.units.service import Shown


@dataclass(frozen=True, slots=True)
class EvidenceForm:
    """The state of the report; all of it stands in the address."""

    rule: str = ""
    corpus: str | None = None
    threshold: str | None = None

    def question(self) -> EvidenceQuestion:
        """What is asked. Raises InvalidInput for what is no rule or no threshold."""
        return EvidenceQuestion(
            rule=read_rule(self.rule), corpus=self.corpus, threshold=_threshold(self.threshold)
        )


@dataclass(frozen=True, slots=True)
class EvidencePage:
    """The report, or what kept it from being made."""

    found: FoundSource
    index: int
    form: EvidenceForm
    report: Evidence | None
    problem: str | None
    scale: ColourScale | None

    @property
    def model(self) -> str:
        return self.found.model.slug

    @property
    def source(self) -> str:
        return self.found.source.slug

    @property
    def corpora(self) -> list[str]:
        return [scan.corpus.slug for scan in self.found.scans]

    @property
    def figures(self) -> list[tuple[Figure, str, str]]:
        """Each figure's name, label and definition."""
        return [(figure, NAMES[figure], ABOUT[figure]) for figure in NAMES]

    @property
    def about_intervals(self) -> str:
        """What the intervals are, or why there are none."""
        assert self.report is not None
        n = self.report.n_documents
        if n < 2:
            return (
                "No intervals: they come of drawing documents again, and the sample is of one. (A "
                "text file is one document; JSONL and a directory have many.)"
            )
        return (
            f"Intervals by bootstrap over the sample’s {format_count(n)} documents; for a "
            "precision, recall or mass explained of exactly 0 or 1, the rule of three over the "
            "documents that have a say."
        )

    @property
    def left_out(self) -> list[str]:
        """Sources that were not compared, those with the same reason together."""
        assert self.report is not None
        by_reason: dict[str, list[str]] = {}
        for each in self.report.left_out:
            by_reason.setdefault(each.reason.rstrip("."), []).append(each.source)
        return [
            f"{', '.join(sources)} ({reason.removeprefix('was ')})"
            for reason, sources in by_reason.items()
        ]

    @property
    def differences(self) -> list[str]:
        """In words, a sentence for each other corpus: which figures are apart from those here."""
        assert self.report is not None
        return [_difference(self.report, each) for each in self.report.others]

    @property
    def unit_href(self) -> str:
        return urls.unit(self.model, self.source, self.index, corpus=self.form.corpus)

    @property
    def search_href(self) -> str:
        """All units by the same rule."""
        assert self.report is not None
        return urls.search(
            q=rule_query(self.report.text), model=self.model, corpus=self.form.corpus
        )

    @property
    def best_href(self) -> str:
        """The evidence on the library's best rule."""
        assert self.report is not None and self.report.library.best is not None
        best = self.report.library.best.text
        return urls.evidence(
            self.model, self.source, self.index, rule=best, corpus=self.form.corpus
        )

    @property
    def sent_rule(self) -> str:
        """The rule as the form sends it."""
        return sent_rule(read_rule(self.form.rule))

    @property
    def api_href(self) -> str:
        form = self.form
        return urls.api_evidence(
            self.model,
            self.source,
            self.index,
            rule=form.rule,
            corpus=form.corpus,
            threshold=form.threshold,
        )

    def shown(self, examples: list[CounterExample]) -> list[Shown]:
        """Counter-examples laid out, on the unit's own scale of colour."""
        assert self.scale is not None
        return [Shown(each, cell_row(each, self.scale, each.matched)) for each in examples]

    def about_cases(self, n: int, n_shown: int, how: str) -> str:
        """How many counter-examples of a kind there are, and how those shown were chosen."""
        words = f"{format_count(n)} case{'' if n == 1 else 's'}"
        return f"{words}, {n_shown} shown: {how}." if n > n_shown else f"{words}."

    @property
    def thresholds(self) -> ThresholdPlot | None:
        """Precision and recall over the threshold, as a plot to choose one by."""
        assert self.report is not None
        return threshold_plot(self.report.thresholds, self.report.threshold, self._threshold_href)

    def _threshold_href(self, threshold: float) -> str:
        return urls.evidence(
            self.model,
            self.source,
            self.index,
            rule=self.form.rule,
            corpus=self.form.corpus,
            threshold=f"{threshold:g}",
        )

    def corpus_href(self, corpus: str) -> str:
        return urls.evidence(
            self.model,
            self.source,
            self.index,
            rule=self.form.rule,
            corpus=corpus,
            threshold=self.form.threshold,
        )


def evidence_page(
    session: Session, model: str, source: str, index: int, form: EvidenceForm
) -> EvidencePage:
    """The page. Raises NotFound for a unit or corpus that is not there; says all else on it."""
    found = find_unit(session, model, source, index)
    scan = found.scan_over(form.corpus)
    if not form.rule.strip():
        return EvidencePage(found, index, form, None, None, None)
    try:
        report = report_evidence(session, model, source, index, form.question())
    except NotFound:
        raise
    except AppError as error:
        return EvidencePage(found, index, form, None, error.message, None)
    unit = get_unit(session, model, source, index)
    stats = next(each for each in unit.stats if each.corpus == scan.corpus.slug)
    return EvidencePage(found, index, form, report, None, colour_scale(stats, "top"))


def _difference(here: Evidence, there: OtherCorpus) -> str:
    single = [each.corpus for each in (here, there) if each.n_documents < 2]
    if single:
        return (
            f"Whether {there.corpus} differs cannot be said: the sample of {single[0]} is one "
            "document, so there are no intervals."
        )
    if not there.differs_in:
        return (
            f"Over {there.corpus} no figure’s 95% interval is apart from that over {here.corpus}."
        )
    names = [NAMES[name] for name in NAMES if name in there.differs_in]
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return (
        f"Over {there.corpus} {listed} differ{'s' if len(names) == 1 else ''} from {here.corpus}: "
        "the two 95% intervals do not overlap."
    )


def _threshold(text: str | None) -> float | str:
    if text is None or not text.strip():
        return 0.0
    if text.strip() == "best":
        return "best"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InvalidInput(f"The threshold {text[:40]!r}: wanted a number from 0 on, or best.")
    return value
