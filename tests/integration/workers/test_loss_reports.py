"""Reports on recovered loss: asked for, measured over a scan that was made, found again."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, select, text

from app import db
from app.errors import InvalidInput, NotFound
from app.evidence import commands
from app.evidence.loss import ask_loss, enqueue, find_loss
from app.models import LanguageModel, LossReport, ScanSource, Worker
from app.rules.text import parse
from workers import loss_reports
from workers.index import IndexRequest, run_index
from workers.loss_reports import measure_here
from workers.progress import Silent

RULE = parse('/def/ | "x"')


@pytest.fixture
def scanned(
    engine: Engine, tmp_path: Path, model_directory: Callable[[str], Path]
) -> tuple[int, int]:
    """A scan and its source."""
    rng = np.random.default_rng(0)
    words = ["def", "return", "x", "y", "(", ")", ":", "1", "2", "\n"]
    texts = tmp_path / "texts"
    texts.mkdir()
    for i in range(6):
        (texts / f"{i}.txt").write_text(" ".join(rng.choice(words, 200)))
    model = str(model_directory("gpt2"))
    request = IndexRequest(model=model, corpus=str(texts), neurons="0", context=16, device="cpu")
    run_index(request, engine, Silent())
    with db.session(engine) as session:
        found = session.scalars(select(ScanSource)).one()
        return found.scan_id, found.source_id


def test_a_report_is_asked_for_measured_and_found(engine: Engine, scanned: tuple[int, int]) -> None:
    with db.session(engine) as session:
        assert find_loss(session, *scanned, 3, RULE) is None
        ids = [ask_loss(session, *scanned, unit, RULE, n_windows=20).id for unit in (3, 5)]
    measure_here(engine, ids, "cpu")
    with db.session(engine) as session:
        found = find_loss(session, *scanned, 3, RULE)
    assert found is not None
    assert found.status == "complete"
    assert found.n_documents is not None
    assert 1 < found.n_documents <= 6
    assert found.loss_intact is not None
    assert found.loss_intact > 0
    assert (found.ratio is not None) == found.is_measurable


def test_asking_again_replaces(engine: Engine, scanned: tuple[int, int]) -> None:
    with db.session(engine) as session:
        for _ in range(2):
            ask_loss(session, *scanned, 3, RULE)
        assert len(session.scalars(select(LossReport)).all()) == 1


def test_a_unit_that_is_not_there_is_refused(engine: Engine, scanned: tuple[int, int]) -> None:
    with db.session(engine) as session, pytest.raises(NotFound, match="has no unit"):
        ask_loss(session, *scanned, 10**6, RULE)


def test_the_command_measures_a_list_and_prints_it(
    engine: Engine,
    scanned: tuple[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(db, "get_engine", lambda: engine)
    with db.session(engine) as session:
        slug = session.scalars(select(LanguageModel.slug)).one()
    listed = tmp_path / "units.tsv"
    listed.write_text('3\t["x", "y"]\n5\t{"class": "digit"}\n')

    def run(is_json: bool) -> str:
        commands.loss(
            f"{slug}/mlp-0",
            [],
            str(listed),
            None,
            commands.Where(n_windows=20, device="cpu"),
            is_json=is_json,
        )
        return capsys.readouterr().out

    found = json.loads(run(True))
    assert [(each["unit"], each["status"]) for each in found] == [(3, "complete"), (5, "complete")]
    assert "recovered" in run(False)


def test_the_command_leaves_it_to_workers_and_says_where_to_look(
    engine: Engine,
    scanned: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(db, "get_engine", lambda: engine)
    with db.session(engine) as session:
        slug = session.scalars(select(LanguageModel.slug)).one()
    detached = commands.Where(n_windows=20, is_detached=True)
    rules = ["/def/", ":digit", "/def/"]
    commands.loss(f"{slug}/mlp-0/3", rules, None, None, detached, is_json=False)
    said = capsys.readouterr()
    first, second = said.out.splitlines()
    assert first.startswith("queued\thttp://") and f"/{slug}/mlp-0/3/test?rule=%2Fdef" in first
    assert "%3Adigit" in second
    assert "No worker serves this" in said.err
    with db.session(engine) as session:
        query = text("SELECT count(*) FROM procrastinate_jobs WHERE queue_name = 'loss'")
        assert session.scalar(query) == 1
    here = commands.Where(n_windows=20, device="cpu")
    commands.loss(f"{slug}/mlp-0/3", rules, None, None, here, is_json=True)
    measured = json.loads(capsys.readouterr().out)
    assert [(each["status"], "regex" in each["rule"]) for each in measured] == [
        ("complete", True),
        ("complete", False),
    ]


@pytest.mark.parametrize(
    ("options", "named"),
    [({"device": "cpu"}, "--device"), ({"trust_remote_code": True}, "--trust-remote-code")],
)
def test_what_a_worker_decides_cannot_be_asked_of_it(options: dict[str, Any], named: str) -> None:
    where = commands.Where(is_detached=True, **options)
    with pytest.raises(InvalidInput, match=f"{named} with --detach"):
        commands.loss("m/s/1", ["/x/"], None, None, where, is_json=True)


def test_who_is_stopped_leaves_it_to_workers(
    engine: Engine, scanned: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with db.session(engine) as session:
        ids = [ask_loss(session, *scanned, 3, RULE).id]
    monkeypatch.setattr(loss_reports, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure_here(engine, ids, "cpu")
    with db.session(engine) as session:
        report = session.get_one(LossReport, ids[0])
        assert (report.status, report.n_attempts, report.batch) == ("queued", 0, None)
        assert session.scalars(select(Worker)).all() == []


def test_what_is_not_on_this_machine_fails_in_words(
    engine: Engine, scanned: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise NotFound("No model at /here.")

    with db.session(engine) as session:
        ids = [ask_loss(session, *scanned, 3, RULE).id]
    monkeypatch.setattr(loss_reports, "load", gone)
    with pytest.raises(NotFound):
        measure_here(engine, ids, "cpu")
    with db.session(engine) as session:
        found = find_loss(session, *scanned, 3, RULE)
    assert found is not None and (found.status, found.error) == ("failed", "No model at /here.")


def test_many_who_ask_at_once_get_one_report(engine: Engine, scanned: tuple[int, int]) -> None:
    def ask(n: int) -> int:
        with db.session(engine) as session:
            found = ask_loss(session, *scanned, 3, RULE, n_windows=1 + n % 2)
            enqueue(session, [found], *scanned)
            return found.id

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(ask, range(30)))) == 1


@pytest.mark.parametrize("settings", [{"n_windows": 0}, {"n_windows": 4097}, {"seed": 2**32}])
def test_settings_have_bounds(
    engine: Engine, scanned: tuple[int, int], settings: dict[str, int]
) -> None:
    with db.session(engine) as session, pytest.raises(InvalidInput, match="wanted"):
        ask_loss(session, *scanned, 3, RULE, **settings)


def test_a_line_that_is_no_unit_and_rule_is_named(tmp_path: Path) -> None:
    listed = tmp_path / "units.tsv"
    listed.write_text("3 /def/\n")
    with pytest.raises(InvalidInput, match="line 1"):
        commands.loss("m/s", [], str(listed), None, commands.Where(), is_json=True)
