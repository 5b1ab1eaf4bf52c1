"""What `unitscope loss` does: asks for reports, and measures them here or leaves them to others."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app import db, indexing, loss_queue, serving, urls
from app.errors import InvalidInput, NotFound
from app.evidence.loss import DEFAULT_WINDOWS, LossReport, ask_loss, enqueue
from app.models import Corpus, LanguageModel, Scan, ScanSource, Source
from app.models import LossReport as Stored
from app.rules.given import read_rule
from app.rules.language import AnyRule, to_json
from app.rules.reading import read_json
from app.rules.text import to_text

_PLACE = re.compile(r"([^/]+)/([^/]+)(?:/(\d{1,9}))?")

_COLUMNS = ("unit", "rule", "recovered", "95%", "intact", "rule's means", "mean", "tokens")
_NARROWEST = 120  # where it is no terminal, or a narrow one, rather than cells of one letter


@dataclass(frozen=True, slots=True)
class Where:
    """How reports are measured: by workers (`is_detached`), or here."""

    n_windows: int = DEFAULT_WINDOWS
    seed: int = 0
    device: str | None = None
    trust_remote_code: bool = False
    is_detached: bool = False

    def check(self) -> None:
        """Raises InvalidInput for options that are a worker's own."""
        named = "--device" if self.device is not None else "--trust-remote-code"
        if self.is_detached and (self.device is not None or self.trust_remote_code):
            raise InvalidInput(
                f"{named} with --detach: the worker that measures decides that. Start it with "
                f"`unitscope worker {named}`."
            )


def loss(
    place: str,
    rules: Sequence[str],
    units: str | None,
    corpus: str | None,
    where: Where,
    *,
    is_json: bool,
) -> None:
    """Measures MODEL/SOURCE/INDEX by each rule, or what the file `units` lists (`-`: the input).

    Raises AppError for what a person can mend.
    """
    where.check()
    if not where.is_detached:
        indexing.check_device(where.device or "auto")
    model, source, asked = _asked(place, rules, units)
    engine = db.ready()
    with db.session(engine) as session:
        named = _find(session, model, source, corpus)
        found = _ask(session, named, asked, where)
        if where.is_detached:
            enqueue(session, found, named.scan_id, named.source_id)
            is_served = loss_queue.is_served(session)
    if where.is_detached:
        _say_where(found, named, is_served=is_served, is_json=is_json)
    else:
        _measure(engine, [each.id for each in found], where, is_json)


def _ask(
    session: Session, named: "_Named", asked: Sequence[tuple[int, AnyRule]], where: Where
) -> list[LossReport]:
    """A report for each, in their order; asked for in one order everywhere, since two that ask for
    the same wait for each other's rows."""
    found = {
        (unit, rule): ask_loss(
            session,
            named.scan_id,
            named.source_id,
            unit,
            rule,
            n_windows=where.n_windows,
            seed=where.seed,
            is_again=not where.is_detached,
        )
        for unit, rule in sorted({*asked}, key=lambda each: (each[0], to_json(each[1])))
    }
    return [found[each] for each in dict.fromkeys(asked)]


def _measure(engine: Engine, ids: list[int], where: Where, is_json: bool) -> None:
    """Here and now; what could not be measured is printed as well, and raised."""
    indexing.measure_loss(ids, where.device or "auto", trust_remote_code=where.trust_remote_code)
    with db.session(engine) as session:
        stored = session.scalars(select(Stored).where(Stored.id.in_(ids)))
        reports = [LossReport.model_validate(each) for each in stored]
    reports.sort(key=lambda each: ids.index(each.id))
    _show(reports, is_json)
    if (n_failed := sum(each.status != "complete" for each in reports)) > 0:
        raise InvalidInput(f"{n_failed} of {len(reports)} could not be measured, as is said there.")


def _asked(
    place: str, rules: Sequence[str], units: str | None
) -> tuple[str, str, list[tuple[int, AnyRule]]]:
    found = _PLACE.fullmatch(place)
    if found is None or (found[3] is None) != (units is not None):
        wanted = "MODEL/SOURCE with --units" if units is not None else "MODEL/SOURCE/INDEX"
        raise InvalidInput(f"{place!r} names no unit: wanted {wanted}.")
    if units is not None and rules:
        raise InvalidInput("With --units the rules stand in its lines: leave out RULE.")
    if units is None:
        asked = [(int(found[3]), read_rule(rule)) for rule in rules]
    else:
        lines = sys.stdin if units == "-" else _lines(units)
        asked = [_listed(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not asked:
        raise InvalidInput("There is no rule to measure: give at least one RULE.")
    return found[1], found[2], asked


def _lines(name: str) -> Iterable[str]:
    try:
        return Path(name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--units {name} cannot be read: {error}") from error


def _listed(number: int, line: str) -> tuple[int, AnyRule]:
    index, _, rule = line.rstrip("\r\n").partition("\t")
    if re.fullmatch(r"[0-9]{1,9}", index) is None or not rule:
        raise InvalidInput(f"--units, line {number}: wanted INDEX, a tab and a rule.")
    return int(index), read_rule(rule)


class _Named(NamedTuple):
    """A scan of a source, and what addresses call it."""

    scan_id: int
    source_id: int
    model: str
    source: str
    corpus: str


def _find(session: Session, model: str, source: str, corpus: str | None) -> _Named:
    """The newest current scan of the source, over the corpus if one is named."""
    query = (
        select(ScanSource.scan_id, ScanSource.source_id, Corpus.slug)
        .join(Source, Source.id == ScanSource.source_id)
        .join(LanguageModel, LanguageModel.id == Source.language_model_id)
        .join(Scan, Scan.id == ScanSource.scan_id)
        .join(Corpus, Corpus.id == ScanSource.corpus_id)
        .where(LanguageModel.slug == model, Source.slug == source, ScanSource.is_current)
        .order_by(Scan.id.desc())
        .limit(1)
    )
    query = query if corpus is None else query.where(Corpus.slug == corpus)
    found = session.execute(query).one_or_none()
    if found is None:
        over = "" if corpus is None else f" over {corpus}"
        raise NotFound(f"No scan of {model}/{source}{over}: run `unitscope index` first.")
    return _Named(found[0], found[1], model, source, found[2])


def _say_where(
    reports: Sequence[LossReport], named: _Named, *, is_served: bool, is_json: bool
) -> None:
    """For each report its state and the page that shows what comes of it."""
    if is_json:
        print(json.dumps([each.model_dump(mode="json") for each in reports], indent=2))
    else:
        site = serving.place(None, None).url
        for each in reports:
            rule = to_text(read_json(each.rule))
            page = urls.evidence(
                named.model, named.source, each.unit, rule=rule, corpus=named.corpus
            )
            print(f"{each.status}\t{site}{page}")
    if not is_served and any(not each.is_over for each in reports):
        print("No worker serves this: `unitscope worker` starts one.", file=sys.stderr)


def _show(reports: Sequence[LossReport], is_json: bool) -> None:
    if is_json:
        print(json.dumps([each.model_dump(mode="json") for each in reports], indent=2))
        return
    table = Table(*_COLUMNS, show_edge=False)
    for each in reports:
        rule = to_text(read_json(each.rule)).replace("[", r"\[")
        if each.status != "complete":
            said = (each.error or each.status).replace("[", r"\[")
            table.add_row(str(each.unit), rule, said, *[""] * (len(_COLUMNS) - 3))
            continue
        recovered, interval = "not measurable here", ""
        if each.ratio is not None:
            recovered, interval = (
                f"{each.ratio:.3f}",
                f"{each.ratio_low:.3f} to {each.ratio_high:.3f}",
            )
        losses = (f"{x:.6f}" for x in (each.loss_intact, each.loss_rule, each.loss_mean))
        table.add_row(str(each.unit), rule, recovered, interval, *losses, f"{each.n_tokens:,}")
    Console(width=max(Console().width, _NARROWEST)).print(table, crop=False)
