"""A scan by several worker processes while the worst happens to them, to their queue and to their
database; what comes of it is compared with an undisturbed scan (`tests.scan_results`)."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError

from app import db, partitions
from app.models import Scan, Shard
from tests import fire_worker
from tests.databases import Cluster
from tests.fire_worker import BATCH_TOKENS, FireSettings
from tests.scan_results import ScanResults, read_results
from tests.tiny_saes import make_sae
from workers import memory_plan
from workers.index import IndexRequest, IndexResult, run_index
from workers.jobs import queue
from workers.progress import Silent

SECONDS_AT_MOST = 120.0
N_ATLAS, N_SHARD = 600, 700  # tokens
_WORKER = "fire-worker"  # how the server knows their connections


def _context() -> ForkServerContext:
    """Workers come from a process that has imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(fire_worker.PRELOADED)
    return context


@dataclass
class Workers:
    """Worker processes, kept at a number, in one data directory."""

    settings: FireSettings
    running: list[ForkServerProcess] = field(default_factory=list)
    n_started: int = 0
    exit_codes: list[int] = field(default_factory=list)

    def start(self, n: int, settings: FireSettings | None = None) -> list[ForkServerProcess]:
        """Starts `n` more; they are at work after a second or so."""
        started = []
        for _ in range(n):
            self.n_started += 1
            given = (settings or self.settings, f"worker-{self.n_started}")
            process = _context().Process(target=fire_worker.run, args=given)
            process.start()
            started.append(process)
        self.running += started
        return started

    def reap(self) -> int:
        """How many of them have ended since the last time."""
        ended = [process for process in self.running if not process.is_alive()]
        for process in ended:
            self.running.remove(process)
            process.join()
            self.exit_codes.append(process.exitcode or 0)
            process.close()
        return len(ended)

    def stop(self) -> None:
        """Kills all that are left."""
        for process in self.running:
            process.kill()
            process.join()
            process.close()
        self.running.clear()

    def n_tokens_scanned(self) -> int:
        """Counted positions that went through the model, by all of them together."""
        path = self.settings.data_dir / "scanned"
        return sum(map(int, path.read_text().split())) if path.exists() else 0

    def logs(self) -> str:
        """What all of them said."""
        return "\n".join(p.read_text() for p in sorted(self.settings.data_dir.glob("*.log")))


@contextmanager
def workers_on(engine: Engine, data_dir: Path, n: int, settings: FireSettings) -> Iterator[Workers]:
    """`n` workers for the engine's database; whoever is left at the end is killed."""
    url = engine.url.set(drivername="postgresql").update_query_dict({"application_name": _WORKER})
    address = url.render_as_string(hide_password=False)
    workers = Workers(replace(settings, address=address, data_dir=data_dir))
    workers.start(n)
    try:
        yield workers
    finally:
        workers.stop()


@dataclass
class Fire:
    """Disturbs workers of one scan, at moments and in ways drawn by `draw`."""

    cluster: Cluster
    engine: Engine
    workers: Workers
    scan_id: int
    draw: random.Random
    done: list[str] = field(default_factory=list)
    frozen: list[tuple[float, int]] = field(default_factory=list)
    full: set[str] = field(default_factory=set)

    def disturb(self) -> None:
        """One disturbance."""
        kinds = {
            self.kill: 4,
            self.terminate: 2,
            self.freeze: 3,
            self.cut: 3,
            self.restart: 1,
            self.fill: 2,
            self.deliver_twice: 2,
            self.lose_tasks: 1,
            self.forget: 1,
            self.hang: 2,
            self.sweep: 1,
        }
        kind = self.draw.choices(list(kinds), list(kinds.values()))[0]
        self.done.append(kind.__name__)
        with suppress(DBAPIError, psycopg.Error, ProcessLookupError, PermissionError):
            kind()

    def kill(self) -> None:
        """A worker ends without a word."""
        os.kill(self._some_worker(), signal.SIGKILL)

    def terminate(self) -> None:
        """A worker is told to leave."""
        os.kill(self._some_worker(), signal.SIGTERM)

    def freeze(self) -> None:
        """A worker is thought dead, and wakes up later."""
        alive = self.workers.settings.seconds_alive or 15.0
        self._freeze(self._some_worker(), alive * self.draw.uniform(0.3, 2.5))

    def cut(self) -> None:
        """Connections end, at any point of their transactions."""
        pids = self._backends()
        with self._connect() as connection:
            for pid in self.draw.sample(pids, min(len(pids), self.draw.randint(1, 6))):
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])

    def hang(self) -> None:
        """A connection answers nothing for a while."""
        pids = [pid for pid in self._backends() if pid not in {pid for _, pid in self.frozen}]
        if pids:
            self._freeze(self.draw.choice(pids), self.draw.uniform(0.1, 1.5))

    def restart(self) -> None:
        """PostgreSQL breaks down, and comes back after a while."""
        assert self.cluster.server is not None
        self.thaw(is_all=True)
        self.cluster.server.stop()
        time.sleep(self.draw.uniform(0, 1))
        self.cluster.server.start()

    def fill(self) -> None:
        """The database's disk has no room for what is flushed or completed, for a while."""
        with self._connect() as connection:
            connection.execute(_FULL)
            for table in self._filling():
                connection.execute(
                    f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} "
                    "EXECUTE FUNCTION full_disk()"
                )
                self.full.add(table)

    def make_room(self) -> None:
        """It has room again."""
        with suppress(psycopg.Error), self._connect() as connection:
            for table in self.full & {*self._filling()}:
                connection.execute(f"DROP TRIGGER IF EXISTS full_disk ON {table}")
            self.full.clear()

    def deliver_twice(self) -> None:
        """Shards that are taken, or done, are in the queue again."""
        with db.session(self.engine) as session:
            shards = session.scalars(select(Shard.index).where(Shard.scan_id == self.scan_id)).all()
            for shard in self.draw.sample(shards, min(len(shards), 5)):
                queue.defer(session, self.scan_id, 0, shard)

    def lose_tasks(self) -> None:
        """Tasks are gone, also of shards that are in hand."""
        with self._connect() as connection:
            connection.execute("DELETE FROM procrastinate_jobs WHERE random() < 0.5")

    def forget(self) -> None:
        """Workers' signs of life are gone, as of those that slept for an hour."""
        table = self.draw.choice(["workers", "procrastinate_workers"])
        with self._connect() as connection:
            connection.execute(f"DELETE FROM {table}")

    def sweep(self) -> None:
        """The queue is swept out of turn."""
        queue.sweep(self.engine)

    def thaw(self, *, is_all: bool = False) -> None:
        """Wakes up who was frozen long enough."""
        now = time.monotonic()
        for until, pid in list(self.frozen):
            if is_all or until < now:
                self.frozen.remove((until, pid))
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _freeze(self, pid: int, seconds: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        self.frozen.append((time.monotonic() + seconds, pid))

    def _backends(self) -> list[int]:
        """Processes of the server that serve workers."""
        query = (
            "SELECT pid FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = %s"
        )
        with self._connect() as connection:
            return [pid for (pid,) in connection.execute(query, [_WORKER]).fetchall()]

    def _filling(self) -> list[str]:
        """Tables that flushes and the finish write to, as far as they are there."""
        tables = [partitions.name("partials", self.scan_id), "scan_sources"]
        with self._connect() as connection:
            query = "SELECT tablename FROM pg_tables WHERE tablename = ANY(%s)"
            return [name for (name,) in connection.execute(query, [tables]).fetchall()]

    def _some_worker(self) -> int:
        pids = [process.pid for process in self.workers.running if process.is_alive()]
        if not pids:
            raise ProcessLookupError
        pid = self.draw.choice(pids)
        assert pid is not None
        return pid

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        url = self.engine.url.set(drivername="postgresql")
        address = url.render_as_string(hide_password=False)
        return psycopg.connect(address, autocommit=True, options="-c lock_timeout=2s")


_FULL = """
CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$
"""


@dataclass(frozen=True)
class FireReport:
    """What came of a scan under fire."""

    seed: int
    seconds: float
    disturbances: list[str]
    share_repeated: float
    differences: list[str]
    exit_codes: list[int]
    logs: str


def scan_under_fire(
    cluster: Cluster,
    folder: Path,
    request: IndexRequest,
    wanted: ScanResults,
    seed: int,
    *,
    n_workers: int = 3,
    n_disturbances: int = 12,
    settings: FireSettings,
) -> FireReport:
    """A scan in a database of its own, disturbed so often, then left to its end."""
    draw = random.Random(seed)
    with cluster.engine() as engine:
        indexed = run_index(request.model_copy(update={"wait": False}), engine, Silent())
        began = time.monotonic()
        with workers_on(engine, folder, n_workers, settings) as workers:
            fire = Fire(cluster, engine, workers, indexed.scan_ids[0], draw)
            try:
                _burn(fire, n_disturbances)
            finally:
                fire.thaw(is_all=True)
            n_scanned = workers.n_tokens_scanned()
        logs = workers.logs()
        seconds = time.monotonic() - began
        results = read_results(engine, indexed.model_slug, indexed.corpus_slug)
        with db.session(engine) as session:
            n_tokens = session.get_one(Scan, indexed.scan_ids[0]).n_tokens
        differences = results.differences(wanted)
    share = n_scanned / n_tokens - 1
    return FireReport(seed, seconds, fire.done, share, differences, workers.exit_codes, logs)


def _burn(fire: Fire, n_disturbances: int) -> None:
    wait_for(lambda: fire.workers.n_tokens_scanned() > 0)
    until = time.monotonic() + SECONDS_AT_MOST
    while not is_over(fire.engine, fire.scan_id):
        assert time.monotonic() < until, f"{fire.done}\n{fire.workers.logs()[-20000:]}"
        time.sleep(fire.draw.uniform(0.05, 0.4))
        fire.workers.start(fire.workers.reap())
        if fire.full:
            fire.make_room()
        is_left = len(fire.done) < n_disturbances
        fire.thaw(is_all=not is_left)
        if is_left:
            fire.disturb()


def is_over(engine: Engine, scan_id: int) -> bool:
    """Whether it is complete; AssertionError where it failed."""
    with suppress(DBAPIError), db.session(engine) as session:
        row = session.get_one(Scan, scan_id)
        assert row.status in ("queued", "running", "complete"), row.error
        return row.status == "complete"
    return False


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> float:
    """Returns when it holds, and how long that took; AssertionError where it never does."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it never came to that"
        time.sleep(0.02)
    return time.monotonic() - began


def small_request(model: Path, folder: Path, word: str = "foxes") -> IndexRequest:
    """Two layers of neurons of a tiny model and an SAE over some 9,000 tokens, in many shards."""
    sentences = (f"{i} quick brown {word} jump over {i * i} lazy dogs. " for i in range(300))
    corpus = folder / f"{word}.txt"
    corpus.write_text("".join(sentences))
    return IndexRequest(
        model=str(model),
        corpus=str(corpus),
        saes=[str(make_sae(folder / "sae"))],
        neurons="0,2",
        device="cpu",
        context=16,
        atlas_tokens=N_ATLAS,
        shard_tokens=N_SHARD,
        threads=1,
        wait=False,
    )


def scan_undisturbed(cluster: Cluster, request: IndexRequest) -> tuple[IndexResult, ScanResults]:
    """The same request in a database of its own, in this process."""
    with patch.dict(memory_plan.BATCH_TOKENS, cpu=BATCH_TOKENS), cluster.engine() as engine:
        result = run_index(request.model_copy(update={"wait": True}), engine, Silent())
        return result, read_results(engine, result.model_slug, result.corpus_slug)
