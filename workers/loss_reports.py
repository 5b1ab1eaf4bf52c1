"""Carries out reports on recovered loss: loads what the scan was of, measures, writes down."""

from collections.abc import Sequence
from dataclasses import asdict, fields

import numpy as np
from jaxtyping import Int32
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app import db
from app.errors import AppError, InvalidInput
from app.models import LossReport, Scan
from app.rules.evaluation import Evaluation
from app.rules.reading import read_json
from app.rules.stored_text import open_text
from workers.ablation import LossRecovered, Question, measure
from workers.jobs.loading import load
from workers.jobs.settings import ScanRequest, ScanSettings
from workers.sources.stored_windows import batches_of, read_documents_of, read_these

_LOGITS = 2**26
"""Logits of a batch at most, 256 MB in float32."""


def carry_out(
    engine: Engine, ids: Sequence[int], device: str, *, trust_remote_code: bool = False
) -> None:
    """Measures reports of one scan, source and settings together, and stores what comes of it.

    What a person can mend fails the reports in words, and is raised again.
    """
    try:
        found = _measure(engine, ids, device, trust_remote_code)
    except AppError as error:
        with db.session(engine) as session:
            for report in _reports(session, ids):
                report.status, report.error = "failed", error.message
        raise
    with db.session(engine) as session:
        for report, result in zip(_reports(session, ids), found, strict=True):
            _write(report, result)


def _reports(session: Session, ids: Sequence[int]) -> list[LossReport]:
    query = select(LossReport).where(LossReport.id.in_(ids)).order_by(LossReport.id)
    return list(session.scalars(query))


def _measure(
    engine: Engine, ids: Sequence[int], device: str, trust_remote_code: bool
) -> list[LossRecovered]:
    with db.session(engine) as session:
        reports = _reports(session, ids)
        of_one = {(each.scan_id, each.source_id, str(each.settings)) for each in reports}
        if len(of_one) != 1:
            raise InvalidInput("Reports are measured together for one scan, source and settings.")
        first = reports[0]
        scan = session.get_one(Scan, first.scan_id)
        text = open_text(session, scan.id)
        sampled = np.frombuffer(scan.atlas_windows or b"", "<i4")
        settings = ScanSettings(**{f.name: scan.settings[f.name] for f in fields(ScanSettings)})
        request = ScanRequest.model_validate(scan.request)
    chosen = _choose(len(sampled), first.settings["n_windows"], first.settings["seed"])
    windows = sampled[chosen]
    window_of = np.searchsorted(text.window_starts, text.counted, side="right") - 1
    is_chosen, evaluation = np.isin(window_of, chosen), Evaluation(text)
    questions = [
        Question(each.unit, evaluation.flags(read_json(each.rule))[text.counted][is_chosen])
        for each in reports
    ]
    only = [source for source in request.sources if source.id == first.source_id]
    request = request.model_copy(update={"sources": only})
    loaded = load(request, settings, device, trust_remote_code=trust_remote_code)
    documents = read_documents_of(engine, first.corpus_id, windows)
    batch_tokens = max(_LOGITS // loaded.model.d_vocab, 1)
    return measure(
        loaded.model,
        loaded.sources[0],
        list(batches_of(read_these(engine, first.corpus_id, windows), batch_tokens)),
        dict(zip(windows.tolist(), documents.tolist(), strict=True)),
        questions,
        first.settings["seed"],
    )


def _choose(n: int, n_wanted: int, seed: int) -> Int32[np.ndarray, " chosen"]:
    """Which of the sampled windows, ascending."""
    drawn = np.random.default_rng(seed).permutation(n)[:n_wanted]
    return np.sort(drawn).astype(np.int32)


def _write(report: LossReport, found: LossRecovered) -> None:
    values = asdict(found)
    for name in ("intact", "mean", "rule"):
        values[f"loss_{name}"] = values.pop(name)
    for name, value in values.items():
        setattr(report, name, value)
    report.status, report.error, report.is_measurable = "complete", None, found.is_measurable
