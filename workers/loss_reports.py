"""Measures reports on recovered loss that are in hand: loads what the scan was of, evaluates."""

from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np
from jaxtyping import Int32
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app import db
from app.errors import AppError, Conflict, InvalidInput
from app.models import LossReport, Scan
from app.rules.atlas_text import AtlasText
from app.rules.evaluation import Evaluation
from app.rules.reading import read_json
from app.rules.stored_text import open_text
from workers.ablation import Question, measure
from workers.jobs import loss_claims
from workers.jobs.loading import Loaded, load
from workers.jobs.loss_claims import LossBatch, Result
from workers.jobs.pulse import Activity, Pulse
from workers.jobs.session import HandedBack, go_on
from workers.jobs.settings import ScanRequest, ScanSettings
from workers.sources.language_models import choose_device
from workers.sources.stored_windows import batches_of, read_documents_of, read_these

Load = Callable[[ScanRequest, ScanSettings], Loaded]
_LOGITS = 2**26
"""Logits of a batch at most, 256 MB in float32."""


def measure_here(
    engine: Engine, ids: Sequence[int], device: str, *, trust_remote_code: bool = False
) -> None:
    """Measures reports of one scan, source and settings together in this process, and stores what
    comes of it, as a worker that serves no queue.

    A rule that cannot be evaluated fails its own report; what else a person can mend fails all of
    them in words, and is raised. What else ends it leaves them to workers.
    """
    activity = Activity()
    pulse = Pulse(engine, str(choose_device(device)), activity, queues=())
    pulse.start()
    try:
        with activity.changing:
            held = loss_claims.take(engine, ids, pulse.me)
            activity.begin(held, loss_claims.doing(held))

        def load_here(request: ScanRequest, settings: ScanSettings) -> Loaded:
            return load(request, settings, device, trust_remote_code=trust_remote_code)

        try:
            results = measure_batch(engine, held, load_here, lambda: go_on(activity))
        except AppError as error:
            loss_claims.fail(engine, held, error.message)
            raise
        except HandedBack as error:
            raise Conflict("The reports were deleted, or asked for anew, meanwhile.") from error
        except BaseException:
            loss_claims.hand_back(engine, held)
            raise
        loss_claims.settle(engine, held, results)
    finally:
        activity.end()
        pulse.stop()


def measure_batch(
    engine: Engine, held: LossBatch, load: Load, go_on: Callable[[], None]
) -> dict[int, Result]:
    """By report, what was measured, or why its rule cannot be.

    `load` may raise what it likes, as may `go_on`, which is called before whatever takes long.
    Raises InvalidInput where nothing can be measured at all.
    """
    with db.session(engine) as session:
        reports = _reports(session, held)
        scan = session.get_one(Scan, held.scan_id)
        text = open_text(session, scan.id)
        sampled = np.frombuffer(scan.atlas_windows or b"", "<i4")
        settings = ScanSettings(**{f.name: scan.settings[f.name] for f in fields(ScanSettings)})
        request = ScanRequest.model_validate(scan.request)
    chosen = _choose(len(sampled), held.group.n_windows, held.group.seed)
    if not len(chosen):
        raise InvalidInput("The scan kept no sample of windows to measure on: index again.")
    questions, results = _questions(reports, text, chosen, go_on)
    if not questions:
        return results
    only = [source for source in request.sources if source.id == held.group.source_id]
    go_on()
    loaded = load(request.model_copy(update={"sources": only}), settings)
    go_on()
    windows = sampled[chosen]
    documents = read_documents_of(engine, scan.corpus_id, windows)
    batch_tokens = max(_LOGITS // loaded.model.d_vocab, 1)
    found = measure(
        loaded.model,
        loaded.sources[0],
        list(batches_of(read_these(engine, scan.corpus_id, windows), batch_tokens)),
        dict(zip(windows.tolist(), documents.tolist(), strict=True)),
        list(questions.values()),
        held.group.seed,
        go_on,
    )
    return results | dict(zip(questions, found, strict=True))


def _reports(session: Session, held: LossBatch) -> Sequence[LossReport]:
    query = select(LossReport).where(LossReport.batch == held.batch).order_by(LossReport.id)
    return session.scalars(query).all()


def _questions(
    reports: Sequence[LossReport],
    text: AtlasText,
    chosen: Int32[np.ndarray, " chosen"],
    go_on: Callable[[], None],
) -> tuple[dict[int, Question], dict[int, Result]]:
    """By report, where its rule holds in the chosen windows, or why that cannot be said."""
    is_chosen, evaluation = np.isin(text.window_of, chosen), Evaluation(text)
    questions: dict[int, Question] = {}
    refused: dict[int, Result] = {}
    for report in reports:
        go_on()
        try:
            holds = evaluation.flags(read_json(report.rule))[text.counted][is_chosen]
            questions[report.id] = Question(report.unit, holds)
        except AppError as error:
            refused[report.id] = error.message
    return questions, refused


def _choose(n: int, n_wanted: int, seed: int) -> Int32[np.ndarray, " chosen"]:
    """Which of the sampled windows, ascending."""
    drawn = np.random.default_rng(seed).permutation(n)[:n_wanted]
    return np.sort(drawn).astype(np.int32)
