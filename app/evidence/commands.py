"""What `unitscope loss` does: asks for reports, measures them here, prints them."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import db, indexing
from app.errors import InvalidInput, NotFound
from app.evidence.loss import LossReport, ask_loss
from app.models import Corpus, LanguageModel, Scan, ScanSource, Source
from app.models import LossReport as Stored
from app.rules.language import AnyRule
from app.rules.reading import read_json
from app.rules.text import parse, to_text

_PLACE = re.compile(r"([^/]+)/([^/]+)(?:/(\d{1,9}))?")

_COLUMNS = ("unit", "rule", "recovered", "95%", "intact", "rule's means", "mean", "tokens")
_NARROWEST = 120  # where it is no terminal, or a narrow one, rather than cells of one letter


def loss(
    place: str,
    rules: Sequence[str],
    units: str | None,
    corpus: str | None,
    n_windows: int,
    seed: int,
    device: str,
    *,
    is_json: bool,
    trust_remote_code: bool,
) -> None:
    """Measures MODEL/SOURCE/INDEX by each rule, or what the file `units` lists (`-`: the input).

    Raises AppError for what a person can mend.
    """
    model, source, asked = _asked(place, rules, units)
    engine = db.get_engine()
    db.prepare(engine)
    with db.session(engine) as session:
        scan_id, source_id = _find(session, model, source, corpus)
        ids = [
            ask_loss(session, scan_id, source_id, unit, rule, n_windows=n_windows, seed=seed).id
            for unit, rule in dict.fromkeys(asked)
        ]
    indexing.measure_loss(ids, device, trust_remote_code=trust_remote_code)
    with db.session(engine) as session:
        stored = session.scalars(select(Stored).where(Stored.id.in_(ids)).order_by(Stored.id))
        _show([LossReport.model_validate(each) for each in stored], is_json)


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
        asked = [(int(found[3]), _rule(rule)) for rule in rules]
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
    return int(index), _rule(rule)


def _rule(text: str) -> AnyRule:
    return read_json(text) if text.lstrip().startswith("{") else parse(text)


def _find(session: Session, model: str, source: str, corpus: str | None) -> tuple[int, int]:
    """The newest current scan of the source, over the corpus if one is named."""
    query = (
        select(ScanSource.scan_id, ScanSource.source_id)
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
    return found[0], found[1]


def _show(reports: Sequence[LossReport], is_json: bool) -> None:
    if is_json:
        print(json.dumps([each.model_dump(mode="json") for each in reports], indent=2))
        return
    table = Table(*_COLUMNS, show_edge=False)
    for each in reports:
        recovered, interval = "not measurable here", ""
        if each.ratio is not None:
            recovered, interval = (
                f"{each.ratio:.3f}",
                f"{each.ratio_low:.3f} to {each.ratio_high:.3f}",
            )
        losses = (f"{x:.6f}" for x in (each.loss_intact, each.loss_rule, each.loss_mean))
        rule = to_text(read_json(each.rule)).replace("[", r"\[")
        table.add_row(str(each.unit), rule, recovered, interval, *losses, f"{each.n_tokens:,}")
    console = Console()
    console.print(table, width=max(console.width, _NARROWEST), crop=False)
