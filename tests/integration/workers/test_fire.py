"""Scans by real worker processes that are killed, told to leave, and disturbed: what is found is
what an undisturbed scan finds, and little is done twice."""

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import Engine, inspect, select, text

from app import db, embedded, partitions
from app.errors import Conflict
from app.jobs import commands
from app.models import Corpus, Scan, Shard, Worker
from tests.conftest import StartCluster
from tests.databases import Cluster, Server, sqlalchemy_url
from tests.fire import (
    N_ATLAS,
    N_SHARD,
    Workers,
    is_over,
    scan_under_fire,
    scan_undisturbed,
    small_request,
    wait_for,
    workers_on,
)
from tests.fire_worker import FireSettings
from tests.scan_results import ScanResults, read_results
from workers.index import IndexRequest, IndexResult, run_index
from workers.jobs.claims import MOST_ATTEMPTS
from workers.progress import Silent

SECONDS = 120.0
QUICK = FireSettings("", Path(), slowness=0.001)
SLOW = replace(QUICK, slowness=0.05)
CALM = replace(QUICK, seconds_alive=None, slowness=0.02)


@pytest.fixture(scope="module")
def cluster(start_cluster: StartCluster) -> Cluster:
    """A server that can be stopped and started."""
    return start_cluster("server")


@pytest.fixture(scope="module")
def requests(
    model_directory: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> list[IndexRequest]:
    """Two layers of neurons and a small SAE, over one corpus and over another."""
    folder, model = tmp_path_factory.mktemp("fire"), model_directory("gpt2")
    return [small_request(model, folder, word) for word in ("foxes", "wolves")]


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, requests: list[IndexRequest]) -> list[ScanResults]:
    """What each of the two finds."""
    return [scan_undisturbed(cluster, request)[1] for request in requests]


@pytest.mark.parametrize("seed", [2, 6, 10])
def test_a_scan_under_fire_finds_what_an_undisturbed_one_finds(
    cluster: Cluster,
    requests: list[IndexRequest],
    undisturbed: list[ScanResults],
    tmp_path: Path,
    seed: int,
) -> None:
    settings = replace(QUICK, slowness=0.01)
    given = (cluster, tmp_path, requests[0], undisturbed[0], seed)
    report = scan_under_fire(*given, settings=settings)
    assert report.disturbances
    assert report.differences == []
    assert "Traceback" not in report.logs


def test_a_killed_worker_costs_what_it_had_not_flushed(
    engine: Engine, requests: list[IndexRequest], undisturbed: list[ScanResults], tmp_path: Path
) -> None:
    scan_id = begin(engine, requests[0]).scan_ids[0]
    with workers_on(engine, tmp_path, 1, replace(SLOW, seconds_between_flushes=0.3)) as workers:
        wait_for(lambda: any(0 < s.n_windows_done < s.n_windows for s in shards(engine, scan_id)))
        end(workers.running[0], signal.SIGKILL)
        n_lost = workers.n_tokens_scanned() - n_flushed(engine, scan_id)
        workers.reap()
        workers.start(1, replace(QUICK, address=workers.settings.address, data_dir=tmp_path))
        wait_for(lambda: is_over(engine, scan_id), SECONDS)
        n_repeated = workers.n_tokens_scanned() - job(engine, scan_id).n_tokens
    assert n_repeated == n_lost < N_SHARD
    assert found(engine).differences(undisturbed[0]) == []


def test_a_worker_that_is_told_to_leave_repeats_nothing(
    engine: Engine, requests: list[IndexRequest], undisturbed: list[ScanResults], tmp_path: Path
) -> None:
    scan_id = begin(engine, requests[0]).scan_ids[0]
    with workers_on(engine, tmp_path, 1, replace(CALM, slowness=0.06)) as workers:
        wait_for(lambda: workers.n_tokens_scanned() > N_ATLAS + N_SHARD)
        assert end(workers.running[0], signal.SIGTERM) == 0
        left = shards(engine, scan_id)
        assert {shard.status for shard in left} == {"done", "waiting"}
        assert workers.n_tokens_scanned() == n_flushed(engine, scan_id)
        assert seen(engine) == []
        workers.reap()
        workers.start(1, replace(workers.settings, slowness=0.001))
        wait_for(lambda: is_over(engine, scan_id), SECONDS)
        assert workers.n_tokens_scanned() == job(engine, scan_id).n_tokens
        assert "Traceback" not in workers.logs()
    assert found(engine).differences(undisturbed[0]) == []


def test_a_shard_that_kills_every_worker_ends_the_scan_in_words(
    engine: Engine, requests: list[IndexRequest], tmp_path: Path
) -> None:
    request = requests[0].model_copy(update={"shard_tokens": 10**6})
    scan_id = begin(engine, request).scan_ids[0]
    deadly = replace(QUICK, is_deadly=True, seconds_alive=0.8)
    with workers_on(engine, tmp_path, 2, deadly) as workers:

        def is_failed() -> bool:
            workers.start(workers.reap())
            return job(engine, scan_id).status == "failed"

        wait_for(is_failed, SECONDS)
        assert workers.n_started > MOST_ATTEMPTS
    error = job(engine, scan_id).error or ""
    assert f"begun {MOST_ATTEMPTS} times" in error
    assert "ended without a word" in error
    assert f"unitscope jobs retry {scan_id}" in error


@pytest.fixture
def cancel(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """What `unitscope jobs cancel` does."""
    monkeypatch.setattr(db, "get_engine", lambda: engine)
    return commands.cancel


def test_workers_leave_a_scan_that_is_cancelled_and_go_on_with_others(
    engine: Engine,
    requests: list[IndexRequest],
    undisturbed: list[ScanResults],
    tmp_path: Path,
    cancel: Callable[[int], None],
) -> None:
    scan_id = begin(engine, requests[0]).scan_ids[0]
    with workers_on(engine, tmp_path, 2, replace(CALM, slowness=0.05)) as workers:
        wait_for(lambda: all(s.status == "done" for s in shards(engine, scan_id)[:1]))
        wait_for(lambda: len(at_work(engine, scan_id)) == 2)
        cancel(scan_id)
        assert left_of(engine, scan_id) == []
        wait_for(lambda: at_work(engine, scan_id) == [])
        n_scanned = workers.n_tokens_scanned()
        assert n_scanned < job(engine, scan_id).n_tokens
        next_id = begin(engine, requests[0]).scan_ids[0]
        assert next_id != scan_id
        wait_for(lambda: is_over(engine, next_id), SECONDS)
        assert all(process.is_alive() for process in workers.running)
        assert workers.n_tokens_scanned() == n_scanned + job(engine, next_id).n_tokens
        assert "Traceback" not in workers.logs()
    assert left_of(engine, scan_id) == []
    assert job(engine, scan_id).status == "cancelled"
    assert found(engine).differences(undisturbed[0]) == []


def test_a_scan_that_is_being_completed_is_not_cancelled(
    engine: Engine,
    requests: list[IndexRequest],
    undisturbed: list[ScanResults],
    tmp_path: Path,
    cancel: Callable[[int], None],
) -> None:
    scan_id = begin(engine, requests[0]).scan_ids[0]
    settings = replace(CALM, slowness=0.001, seconds_merged=2.0)
    with workers_on(engine, tmp_path, 1, settings) as workers:
        wait_for(lambda: is_being_completed(engine, scan_id), SECONDS)
        with pytest.raises(Conflict, match="is complete"):
            cancel(scan_id)
        wait_for(lambda: at_work(engine, scan_id) == [])
        assert "Traceback" not in workers.logs()
    assert found(engine).differences(undisturbed[0]) == []


def test_a_request_that_is_made_twice_at_once_is_carried_out_once(
    engine: Engine, requests: list[IndexRequest], undisturbed: list[ScanResults], tmp_path: Path
) -> None:
    settings = replace(CALM, arguments=command(requests[0]))
    with workers_on(engine, tmp_path, 2, settings) as workers:
        for process in workers.running:
            process.join(SECONDS)
        assert [process.exitcode for process in workers.running] == [0, 0], workers.logs()
        n_scanned = workers.n_tokens_scanned()
    with db.session(engine) as session:
        [scan] = session.scalars(select(Scan))
        assert len(session.scalars(select(Corpus)).all()) == 1
    assert n_scanned == scan.n_tokens
    assert found(engine).differences(undisturbed[0]) == []


def test_a_command_that_waits_survives_the_database(
    cluster: Cluster,
    engine: Engine,
    requests: list[IndexRequest],
    undisturbed: list[ScanResults],
    tmp_path: Path,
) -> None:
    settings = replace(CALM, arguments=command(requests[0]))
    with workers_on(engine, tmp_path, 1, settings) as workers:
        wait_for(lambda: workers.n_tokens_scanned() > 0)
        server(cluster).stop()
        server(cluster).start()
        workers.running[0].join(SECONDS)
        assert workers.running[0].exitcode == 0, workers.logs()
        assert "waiting for it" in workers.logs()
        assert "Traceback" not in workers.logs()
    assert found(engine).differences(undisturbed[0]) == []


def test_an_embedded_database_that_broke_down_is_started_again(
    requests: list[IndexRequest], undisturbed: list[ScanResults]
) -> None:
    with TemporaryDirectory(prefix="unitscope-fire-") as name:
        folder = Path(name)
        workers = Workers(
            replace(SLOW, slowness=0.03, data_dir=folder, arguments=command(requests[0]))
        )
        try:
            [process] = workers.start(1)
            wait_for(lambda: workers.n_tokens_scanned() > 0, SECONDS)
            pid = (folder / embedded.DIRECTORY / "postmaster.pid").read_text().split()[0]
            os.kill(int(pid), signal.SIGKILL)
            process.join(SECONDS)
            assert process.exitcode == 0, workers.logs()
            assert "Traceback" not in workers.logs()
            engine = db.make_engine(sqlalchemy_url(embedded.start(folder)))
            assert found(engine).differences(undisturbed[0]) == []
            engine.dispose()
        finally:
            workers.stop()
            embedded.stop(folder)


def test_a_worker_leaves_though_the_database_is_away(
    cluster: Cluster, engine: Engine, requests: list[IndexRequest], tmp_path: Path
) -> None:
    begin(engine, requests[0])
    with workers_on(engine, tmp_path, 2, SLOW) as workers:
        wait_for(lambda: workers.n_tokens_scanned() > 0)
        wait_for(lambda: len(seen(engine)) == 2)
        server(cluster).stop()
        try:
            codes = [end(process, signal.SIGTERM) for process in workers.running]
            logs = workers.logs()
        finally:
            server(cluster).start()
    assert codes == [0, 0], logs
    assert "Traceback" not in logs


def test_a_worker_that_ends_by_itself_ends_when_nothing_is_left(
    engine: Engine, requests: list[IndexRequest], tmp_path: Path
) -> None:
    scan_id = begin(engine, requests[0]).scan_ids[0]
    with workers_on(engine, tmp_path, 1, SLOW) as workers:
        wait_for(lambda: workers.n_tokens_scanned() > 0)
        end(workers.running[0], signal.SIGKILL)
        workers.reap()
        once = replace(workers.settings, slowness=0.001, arguments=("worker", "--once"))
        [process] = workers.start(1, once)
        process.join(SECONDS)
        assert process.exitcode == 0, workers.logs()
    assert is_over(engine, scan_id)


def test_a_job_that_cannot_be_done_here_waits_for_who_can(
    engine: Engine, requests: list[IndexRequest], tmp_path: Path
) -> None:
    away = tmp_path / "model"
    shutil.copytree(requests[0].model, away)
    scan_id = begin(engine, requests[0].model_copy(update={"model": str(away)})).scan_ids[0]
    away.rename(tmp_path / "elsewhere")
    with workers_on(engine, tmp_path, 0, SLOW) as workers:
        for _ in range(2):
            once = replace(workers.settings, arguments=("worker", "--once"))
            [process] = workers.start(1, once)
            process.join(SECONDS)
            assert process.exitcode == 1, workers.logs()
        assert "What is left cannot be done by this worker" in workers.logs()
        assert "No model at" in workers.logs()
        assert all(shard.n_attempts == 0 for shard in shards(engine, scan_id))
        (tmp_path / "elsewhere").rename(away)
        workers.start(1)
        wait_for(lambda: is_over(engine, scan_id), SECONDS)


@pytest.mark.parametrize("device", ["foo", "cuda:99", "meta"])
def test_a_worker_with_a_device_that_is_not_here_ends_at_once(
    engine: Engine, tmp_path: Path, device: str
) -> None:
    with workers_on(engine, tmp_path, 0, SLOW) as workers:
        [process] = workers.start(
            1, replace(workers.settings, arguments=("worker", "--device", device))
        )
        process.join(SECONDS)
        assert process.exitcode == 1
        assert f"--device {device}" in workers.logs()


def test_the_job_of_higher_priority_comes_first(
    engine: Engine, requests: list[IndexRequest], tmp_path: Path
) -> None:
    low, high = (
        begin(engine, request.model_copy(update={"priority": priority})).scan_ids[0]
        for request, priority in zip(requests, (0, 5), strict=True)
    )
    with workers_on(engine, tmp_path, 1, replace(CALM, slowness=0.001)):
        wait_for(lambda: is_over(engine, low), SECONDS)
    ended, begun = job(engine, high).finished_at, job(engine, low).started_at
    assert ended is not None
    assert begun is not None
    assert ended <= begun


def test_two_workers_carry_out_two_scans_at_once(
    engine: Engine, requests: list[IndexRequest], undisturbed: list[ScanResults], tmp_path: Path
) -> None:
    begun = [begin(engine, request) for request in requests]
    with workers_on(engine, tmp_path, 2, replace(CALM, slowness=0.001)) as workers:
        for each in begun:
            wait_for(lambda scan_id=each.scan_ids[0]: is_over(engine, scan_id), SECONDS)
        assert "Traceback" not in workers.logs()
    for each, wanted in zip(begun, undisturbed, strict=True):
        assert read_results(engine, each.model_slug, each.corpus_slug).differences(wanted) == []


def begin(engine: Engine, request: IndexRequest) -> IndexResult:
    """Leaves it to workers."""
    return run_index(request, engine, Silent())


def command(asked: IndexRequest) -> tuple[str, ...]:
    """The same request as a command, that waits; its shards are of the usual size."""
    options = ["index", asked.model, "--corpus", asked.corpus, "--sae", asked.saes[0]]
    options += ["--neurons", asked.neurons, "--device", asked.device, "--threads", "1"]
    options += ["--context", str(asked.context), "--atlas-tokens", str(asked.atlas_tokens)]
    return tuple(options)


def server(cluster: Cluster) -> Server:
    assert cluster.server is not None
    return cluster.server


def end(process: ForkServerProcess, number: int) -> int:
    """Sends the signal; the exit code, once the process is gone."""
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(SECONDS)
    assert process.exitcode is not None, "it did not end"
    return process.exitcode


def job(engine: Engine, scan_id: int) -> Scan:
    with db.session(engine) as session:
        return session.get_one(Scan, scan_id)


def shards(engine: Engine, scan_id: int) -> list[Shard]:
    with db.session(engine) as session:
        query = select(Shard).where(Shard.scan_id == scan_id).order_by(Shard.index)
        return list(session.scalars(query))


def n_flushed(engine: Engine, scan_id: int) -> int:
    return sum(shard.n_tokens_done for shard in shards(engine, scan_id))


def seen(engine: Engine) -> list[Worker]:
    with db.session(engine) as session:
        return list(session.scalars(select(Worker)))


def at_work(engine: Engine, scan_id: int) -> list[Worker]:
    return [worker for worker in seen(engine) if worker.scan_id == scan_id]


def is_being_completed(engine: Engine, scan_id: int) -> bool:
    """Whether the finish has the scan's row, which it keeps to its end."""
    if not any(s.kind == "finish" and s.status == "running" for s in shards(engine, scan_id)):
        return False
    with db.session(engine) as session:
        query = select(Scan.id).where(Scan.id == scan_id, Scan.status == "running")
        return session.scalar(query.with_for_update(skip_locked=True)) is None


def left_of(engine: Engine, scan_id: int) -> list[str]:
    """Tables, shards and waiting tasks of a scan."""
    query = text(
        "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = :q AND status = 'todo'"
    )
    with engine.connect() as connection:
        n_tasks = connection.scalar(query, {"q": f"scan-{scan_id}"}) or 0
    tables = {partitions.name(table, scan_id) for table in partitions.UNFINISHED_TABLES}
    kept = [name for name in inspect(engine).get_table_names() if name in tables]
    return kept + ["a shard"] * len(shards(engine, scan_id)) + ["a task"] * n_tasks


def found(engine: Engine) -> ScanResults:
    """The results of the only model over the only corpus."""
    with db.session(engine) as session:
        corpus = session.scalars(select(Corpus.slug)).one()
    return read_results(engine, "tiny-gpt2", corpus)
