"""Reports on loss that workers take from the queue: claims, and real processes that are killed,
told to leave, and lose their database."""

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import Engine, select, text, update

from app import db, loss_queue
from app.evidence.loss import ask_loss, delete_loss, enqueue, find_loss
from app.loss_queue import Group
from app.models import LossReport, Scan, ScanSource, Worker
from app.rules.text import parse
from tests.conftest import StartCluster
from tests.databases import Cluster
from tests.fire import wait_for, workers_on
from tests.fire_worker import FireSettings
from tests.integration.workers.test_fire import end, server
from workers.ablation import LossRecovered
from workers.index import IndexRequest, run_index
from workers.jobs import loss_claims, queue
from workers.jobs.pulse import Identity
from workers.progress import Silent

SECONDS = 90.0
QUICK = FireSettings("", Path(), slowness=0.001)
SLOW = replace(QUICK, slowness=0.3)
ONE, OTHER = parse('"x" | /re/'), parse(":digit")
BAD = '{"regex": "("}'
FOUND = LossRecovered(100, 5, 1.0, 2.0, 1.5, 0.5, 0.4, 0.6)
Scanned = tuple[int, int]


@pytest.fixture(scope="module")
def cluster(start_cluster: StartCluster) -> Cluster:
    """A server that can be stopped and started."""
    return start_cluster("server")


@pytest.fixture
def scanned(
    engine: Engine, tmp_path: Path, model_directory: Callable[[str], Path]
) -> tuple[int, int]:
    """A scan and its source, of a model in a directory of its own."""
    rng = np.random.default_rng(0)
    words = ["def", "return", "x", "y", "(", ")", ":", "1", "2", "\n"]
    texts, model = tmp_path / "texts", tmp_path / "model"
    texts.mkdir()
    shutil.copytree(model_directory("gpt2"), model)
    for i in range(6):
        (texts / f"{i}.txt").write_text(" ".join(rng.choice(words, 100)))
    request = IndexRequest(
        model=str(model), corpus=str(texts), neurons="0", context=16, device="cpu"
    )
    run_index(request, engine, Silent())
    with db.session(engine) as session:
        found = session.scalars(select(ScanSource)).one()
        return found.scan_id, found.source_id


def ask(engine: Engine, scanned: Scanned, units: list[int], rule=ONE, **settings) -> list[int]:
    """Leaves it to workers."""
    with db.session(engine) as session:
        given = {"n_windows": 12} | settings
        found = [ask_loss(session, *scanned, unit, rule, **given) for unit in units]
        enqueue(session, found, *scanned)
        return [each.id for each in found]


def group_of(scanned: Scanned) -> Group:
    return Group(*scanned, n_windows=12, seed=0)


def reports(engine: Engine) -> list[LossReport]:
    with db.session(engine) as session:
        return list(session.scalars(select(LossReport).order_by(LossReport.id)))


def states(engine: Engine) -> list[str]:
    return [report.status for report in reports(engine)]


def figures(engine: Engine) -> list[tuple[object, ...]]:
    return [
        (r.unit, r.loss_intact, r.loss_mean, r.loss_rule, r.ratio, r.ratio_low, r.n_tokens)
        for r in reports(engine)
    ]


def alive(engine: Engine, queues: tuple[str, ...] | None = None) -> Identity:
    """A worker that is alive for the next seconds, and does nothing by itself."""
    me = Identity(uuid4(), "here:1", "cpu", queues)
    with db.session(engine) as session:
        session.add(Worker(**me.row, doing="waiting", n_tokens_done=0))
    return me


def die(engine: Engine, me: Identity) -> None:
    with db.session(engine) as session:
        long_ago = {"seen_at": text("now() - interval '1 minute'")}
        session.execute(update(Worker).where(Worker.id == me.worker_id).values(**long_ago))


def waiting(engine: Engine) -> int:
    query = text(
        "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = 'loss' AND status = 'todo'"
    )
    with engine.connect() as connection:
        return connection.scalar(query) or 0


def test_what_is_measured_together_is_claimed_together_and_once(
    engine: Engine, scanned: Scanned
) -> None:
    ids = ask(engine, scanned, [3, 5])
    assert ask(engine, scanned, [3, 5]) == ids and waiting(engine) == 1
    held = loss_claims.claim(engine, group_of(scanned), alive(engine))
    assert held is not None and held.place.endswith("/mlp-0/3 and 1 more")
    assert loss_claims.claim(engine, group_of(scanned), alive(engine)) is None
    loss_claims.settle(engine, held, dict.fromkeys(ids, FOUND))
    assert states(engine) == ["complete"] * 2
    ask(engine, scanned, [3, 5])
    assert states(engine) == ["complete"] * 2
    ask(engine, scanned, [3], is_again=True)
    ask(engine, scanned, [5], seed=1)
    assert states(engine) == ["queued"] * 2 and reports(engine)[0].ratio is None


def test_who_was_thought_dead_can_write_nothing(engine: Engine, scanned: Scanned) -> None:
    ids = ask(engine, scanned, [3])
    zombie = alive(engine)
    held = loss_claims.claim(engine, group_of(scanned), zombie)
    assert held is not None
    die(engine, zombie)
    heir = loss_claims.claim(engine, group_of(scanned), alive(engine))
    assert heir is not None and heir.n_attempts == 2
    loss_claims.settle(engine, held, dict.fromkeys(ids, FOUND))
    loss_claims.fail(engine, held, "no")
    loss_claims.hand_back(engine, held)
    with db.session(engine) as session:
        assert not held.is_wanted(session) and heir.is_wanted(session)
    assert states(engine) == ["running"]


def test_what_a_worker_let_go_of_without_a_word_is_free(engine: Engine, scanned: Scanned) -> None:
    ask(engine, scanned, [3])
    me = alive(engine)
    assert loss_claims.claim(engine, group_of(scanned), me) is not None
    queue.sweep(engine)
    with db.session(engine) as session:
        assert session.scalars(select(LossReport.id).where(loss_queue.is_free())).all() == []
        session.execute(update(Worker).values(batch=None))  # as its next beat does
    again = loss_claims.claim(engine, group_of(scanned), me)
    assert again is not None and again.n_attempts == 2


def test_from_its_second_attempt_on_a_report_is_taken_alone(
    engine: Engine, scanned: Scanned
) -> None:
    ids = ask(engine, scanned, [3, 5])
    first = loss_claims.claim(engine, group_of(scanned), alive(engine))
    assert first is not None
    loss_claims.hand_back(engine, first, error="no luck")
    ask(engine, scanned, [7])
    with db.session(engine) as session:
        session.execute(text("DELETE FROM procrastinate_jobs"))
    held = [loss_claims.claim(engine, group_of(scanned), alive(engine)) for _ in range(3)]
    assert [(each.place[-1], each.n_attempts) for each in held if each] == [
        ("7", 1),
        ("3", 2),
        ("5", 2),
    ]
    assert waiting(engine) == 1  # for what was left each time
    assert held[1] is not None
    loss_claims.settle(engine, held[1], dict.fromkeys(ids, FOUND))
    assert states(engine) == ["complete", "running", "running"]


def test_three_attempts_end_in_words(engine: Engine, scanned: Scanned) -> None:
    ask(engine, scanned, [3])
    for n in range(1, 4):
        held = loss_claims.claim(engine, group_of(scanned), alive(engine))
        assert held is not None and held.n_attempts == n
        loss_claims.hand_back(engine, held, error="the cable was out")
    assert states(engine) == ["failed"]
    assert "begun 3 times and came to no end: the cable was out" in (reports(engine)[0].error or "")
    ask(engine, scanned, [3])
    for _ in range(3):
        victim = alive(engine)
        assert loss_claims.claim(engine, group_of(scanned), victim) is not None
        die(engine, victim)
    assert loss_claims.claim(engine, group_of(scanned), alive(engine)) is None
    queue.sweep(engine)
    assert states(engine) == ["failed"]
    assert "ended without a word" in (reports(engine)[0].error or "")


def test_a_report_that_is_handed_back_waits_for_a_while(engine: Engine, scanned: Scanned) -> None:
    ask(engine, scanned, [3])
    held = loss_claims.claim(engine, group_of(scanned), alive(engine))
    assert held is not None
    loss_claims.hand_back(engine, held, error="no luck", seconds=60)
    assert loss_claims.claim(engine, group_of(scanned), alive(engine)) is None
    assert reports(engine)[0].n_attempts == 1
    ask(engine, scanned, [3])  # who asks once more does not change that
    assert loss_claims.claim(engine, group_of(scanned), alive(engine)) is None


def test_only_workers_that_serve_it_count(engine: Engine) -> None:
    def is_served() -> bool:
        with db.session(engine) as session:
            return loss_queue.is_served(session)

    assert not is_served()
    alive(engine, ("scan-1",))
    assert not is_served()
    me = alive(engine)
    assert is_served()
    die(engine, me)
    assert not is_served()


def test_a_worker_measures_what_waits_and_fails_a_bad_rule_alone(
    engine: Engine, scanned: Scanned, tmp_path: Path
) -> None:
    ids = ask(engine, scanned, [3, 5]) + ask(engine, scanned, [5], OTHER)
    with db.session(engine) as session:
        session.execute(update(LossReport).where(LossReport.id == ids[1]).values(rule=BAD))
    with workers_on(engine, tmp_path, 1, SLOW) as workers:
        wait_for(lambda: "running" in states(engine), SECONDS)
        wait_for(lambda: "measuring loss of" in doing(engine), SECONDS)
        wait_for(lambda: not {"queued", "running"} & {*states(engine)}, SECONDS)
        assert "Traceback" not in workers.logs()
    assert states(engine) == ["complete", "failed", "complete"]
    error = reports(engine)[1].error or ""
    assert "regex" in error


def doing(engine: Engine) -> str:
    with db.session(engine) as session:
        return " ".join(session.scalars(select(Worker.doing)))


def test_a_killed_workers_batch_is_finished_by_another_with_the_same_figures(
    engine: Engine, scanned: Scanned, tmp_path: Path
) -> None:
    ask(engine, scanned, [3, 5])
    quick = replace(QUICK, arguments=("worker", "--threads", "1", "--once"))
    with workers_on(engine, tmp_path, 1, quick) as workers:  # which ends by itself
        workers.running[0].join(SECONDS)
        assert workers.running[0].exitcode == 0, workers.logs()
    wanted = figures(engine)
    assert states(engine) == ["complete"] * 2
    ask(engine, scanned, [3, 5], is_again=True)
    with workers_on(engine, tmp_path, 1, SLOW) as workers:
        wait_for(lambda: states(engine) == ["running"] * 2, SECONDS)
        end(workers.running[0], signal.SIGKILL)
        workers.reap()
        workers.start(1, replace(workers.settings, slowness=0.001))
        wait_for(lambda: states(engine) == ["complete"] * 2, SECONDS)
        assert "Traceback" not in workers.logs()
    assert figures(engine) == wanted
    assert [report.n_attempts for report in reports(engine)] == [2, 2]


def test_a_report_that_kills_every_worker_fails_in_words(
    engine: Engine, scanned: Scanned, tmp_path: Path
) -> None:
    ask(engine, scanned, [3])
    with workers_on(engine, tmp_path, 1, replace(QUICK, is_deadly=True)) as workers:

        def is_failed() -> bool:
            workers.start(workers.reap())
            return states(engine) == ["failed"]

        wait_for(is_failed, SECONDS)
        assert workers.n_started > 3
    assert "begun 3 times" in (reports(engine)[0].error or "")


def test_a_worker_that_is_told_to_leave_hands_back(
    engine: Engine, scanned: Scanned, tmp_path: Path
) -> None:
    ask(engine, scanned, [3, 5])
    with workers_on(engine, tmp_path, 1, replace(SLOW, seconds_alive=None)) as workers:
        wait_for(lambda: states(engine) == ["running"] * 2, SECONDS)
        assert wait_for(lambda: end(workers.running[0], signal.SIGTERM) == 0) < 15
        assert "Traceback" not in workers.logs()
    assert [(r.status, r.n_attempts, r.batch) for r in reports(engine)] == [("queued", 0, None)] * 2
    assert waiting(engine) == 1


def test_who_measures_what_is_deleted_goes_on_with_the_rest(
    engine: Engine, scanned: Scanned, tmp_path: Path
) -> None:
    def delete(unit: int) -> None:
        with db.session(engine) as session:
            delete_loss(session, *scanned, unit, ONE)

    ask(engine, scanned, [3, 5])
    with workers_on(engine, tmp_path, 1, SLOW) as workers:
        wait_for(lambda: states(engine) == ["running"] * 2, SECONDS)
        delete(3)
        wait_for(lambda: states(engine) == ["complete"], SECONDS)
        ask(engine, scanned, [7])
        wait_for(lambda: states(engine) == ["complete", "running"], SECONDS)
        delete(7)
        wait_for(lambda: doing(engine) == "waiting", SECONDS)
        ask(engine, scanned, [9])
        wait_for(lambda: states(engine) == ["complete"] * 2, SECONDS)
        assert "Traceback" not in workers.logs()
    with db.session(engine) as session:
        assert find_loss(session, *scanned, 7, ONE) is None


def test_what_cannot_be_measured_here_waits_for_who_can(
    engine: Engine, scanned: Scanned, tmp_path: Path
) -> None:
    ask(engine, scanned, [3])
    away = tmp_path / "model"
    away.rename(tmp_path / "elsewhere")
    with workers_on(engine, tmp_path, 0, QUICK) as workers:
        once = replace(workers.settings, arguments=("worker", "--once"))
        [process] = workers.start(1, once)
        process.join(SECONDS)
        assert process.exitcode == 1, workers.logs()
        assert "1 report on recovered loss" in workers.logs()
        [report] = reports(engine)
        assert (report.status, report.n_attempts) == ("queued", 0)
        assert "No model at" in (report.error or "")
        (tmp_path / "elsewhere").rename(away)
        workers.start(1)
        wait_for(lambda: states(engine) == ["complete"], SECONDS)


def test_a_database_that_is_lost_in_the_middle_costs_no_report(
    cluster: Cluster, engine: Engine, scanned: Scanned, tmp_path: Path
) -> None:
    ask(engine, scanned, [3, 5])
    with workers_on(engine, tmp_path, 1, replace(SLOW, seconds_alive=None)) as workers:
        wait_for(lambda: states(engine) == ["running"] * 2, SECONDS)
        server(cluster).stop()
        server(cluster).start()
        wait_for(lambda: quietly(engine) == ["complete"] * 2, SECONDS)
        assert "Traceback" not in workers.logs()


def quietly(engine: Engine) -> list[str]:
    try:
        return states(engine)
    except Exception:  # noqa: BLE001 (it is on its way back)
        return []


def test_loss_goes_first_and_scans_go_on(
    engine: Engine, scanned: Scanned, tmp_path: Path, model_directory: Callable[[str], Path]
) -> None:
    texts = tmp_path / "more.txt"
    texts.write_text("".join(f"{i} brown foxes. " for i in range(300)))
    model = str(model_directory("gpt2"))
    request = IndexRequest(
        model=model, corpus=str(texts), neurons="1", context=16, device="cpu", wait=False,
        shard_tokens=400, atlas_tokens=400,
    )  # fmt: skip
    scan_id = run_index(request, engine, Silent()).scan_ids[0]
    for seed in range(3):
        ask(engine, scanned, [3 + seed], seed=seed)
    once = replace(QUICK, seconds_alive=None, arguments=("worker", "--threads", "1", "--once"))
    with workers_on(engine, tmp_path, 1, once) as workers:
        workers.running[0].join(SECONDS)
        assert workers.running[0].exitcode == 0, workers.logs()
        said = [line for line in workers.logs().splitlines() if line.endswith("begun")]
    assert states(engine) == ["complete"] * 3
    with db.session(engine) as session:
        assert session.get_one(Scan, scan_id).status == "complete"
    kinds = ["loss" if "loss of" in line else "shard" for line in said]
    assert kinds[0] == "loss"
    assert "loss loss" not in " ".join(kinds[:3])
