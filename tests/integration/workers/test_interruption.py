"""A process that indexes is told to stop, or killed, at every stage: nothing half-made is seen, and
the next run goes on with what is left."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from app import db
from app.models import (
    Corpus,
    Examples,
    LanguageModel,
    Scan,
    ScanSource,
    Shard,
    TokenWindow,
    UnitStats,
)
from tests.databases import Cluster
from tests.scan_results import ScanResults, read_results
from workers.index import IndexRequest, IndexResult, run_index
from workers.jobs import pulse, queue
from workers.progress import Silent

SECONDS_ALIVE = 1.5
# Halts at the n-th call of a function, and says so; it goes on when the process is told to leave.
# (A shell that starts tests in the background has SIGINT ignored, and children inherit that.)
SCRIPT = """
import importlib, json, signal, sys, time
from app import db
from workers.index import IndexRequest, run_index
from workers.jobs import pulse, worker
from workers.progress import Silent

place, n_calls = sys.argv[2], int(sys.argv[3])
owner_name, name = place.rsplit(":", 1)
module, *path = owner_name.split("/")
owner = importlib.import_module(module)
for part in path:
    owner = getattr(owner, part)
original = getattr(owner, name)
is_leaving = []

def halting(*args, **kwargs):
    global n_calls
    n_calls -= 1
    if n_calls == 0:
        print("there", flush=True)
        while not is_leaving:
            time.sleep(0.01)
    return original(*args, **kwargs)

leave = worker.ShardWorker.leave

def leaving(self):
    leave(self)
    is_leaving.append(True)

setattr(owner, name, halting)
worker.ShardWorker.leave = leaving
pulse.SECONDS_BETWEEN_BEATS = 0.2
signal.signal(signal.SIGINT, signal.default_int_handler)
run_index(IndexRequest(**json.loads(sys.argv[1])), db.make_engine(db.database_url()), Silent())
"""
STAGES = {
    "scanning": ("workers.scan:_update", 9),
    "storing the atlas": ("workers.jobs.session/AtlasWriter:write", 1),
    "storing a part": ("workers.jobs.session/partials:write", 4),
    "finishing": ("workers.jobs.finishing/ScanWriter:complete", 1),
}
SEEN = (ScanSource, Examples, UnitStats)


@pytest.fixture
def request_json(model_directory: Callable[[str], Path], tmp_path: Path) -> str:
    corpus = tmp_path / "text.txt"
    text = (f"{i} quick brown foxes jump over {i * i} lazy dogs, again. " for i in range(200))
    corpus.write_text("".join(text))
    given = {"model": str(model_directory("gpt2")), "corpus": str(corpus), "device": "cpu"}
    return json.dumps(
        given | {"context": 16, "neurons": "0", "atlas_tokens": 200, "shard_tokens": 400}
    )


@pytest.fixture(autouse=True)
def _short_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead workers are noticed soon."""
    monkeypatch.setattr(queue, "SECONDS_ALIVE", SECONDS_ALIVE)
    monkeypatch.setattr(pulse, "SECONDS_BETWEEN_BEATS", 0.2)


@contextmanager
def halted(
    database_url: str, request_json: str, place: str, n_calls: int
) -> Iterator[subprocess.Popen[str]]:
    """A process that indexes, and has come to the n-th call of `place`."""
    env = os.environ | {"UNITSCOPE_DATABASE_URL": database_url}
    command = [sys.executable, "-c", SCRIPT, request_json, place, str(n_calls)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.readline()
        assert said == "there\n", process.stderr.read()
        try:
            yield process
        finally:
            process.kill()


def index(engine: Engine, request_json: str) -> tuple[IndexResult, ScanResults]:
    result = run_index(IndexRequest(**json.loads(request_json)), engine, Silent())
    return result, read_results(engine, result.model_slug, result.corpus_slug)


@pytest.fixture
def undisturbed(cluster: Cluster, request_json: str) -> ScanResults:
    """What the same request leaves in another database, in one go and in larger shards."""
    with cluster.engine() as engine:
        in_one = json.dumps(json.loads(request_json) | {"shard_tokens": 10**6})
        return index(engine, in_one)[1]


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counted positions that this process scans, batch by batch."""
    counts: list[int] = []
    add = pulse.Activity.add

    def adding(self: pulse.Activity, n_tokens: int) -> None:
        counts.append(n_tokens)
        add(self, n_tokens)

    monkeypatch.setattr(pulse.Activity, "add", adding)
    return counts


@pytest.mark.parametrize(
    ("stage", "number"),
    [*((stage, signal.SIGKILL) for stage in STAGES), ("scanning", signal.SIGINT)],
)
def test_nothing_half_made_is_seen_and_the_next_run_goes_on(
    engine: Engine,
    database_url: str,
    request_json: str,
    undisturbed: ScanResults,
    scanned: list[int],
    stage: str,
    number: int,
) -> None:
    scanned.clear()
    with halted(database_url, request_json, *STAGES[stage]) as process:
        before = n_tokens_done(engine)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert [count(engine, entity) for entity in SEEN] == [0, 0, 0]
    assert count(engine, Corpus) == 1
    kept = n_tokens_done(engine)
    in_hand = [shard for shard in shards(engine) if shard.status == "running"]
    if number == signal.SIGKILL:
        assert kept == before
        assert len(in_hand) == 1  # what is done again is no more than this
    else:
        assert in_hand == []  # handed back, and flushed as far as it was
        assert kept > before
    [job] = jobs(engine)
    assert job.status == "running"
    result, found = index(engine, request_json)
    assert result.scan_ids == [job.id]
    assert sum(scanned) == job.n_tokens - kept
    assert [each.status for each in jobs(engine)] == ["complete"]
    assert found.differences(undisturbed) == []
    assert shards(engine) == []


def test_a_corpus_that_was_being_read_leaves_nothing(
    engine: Engine, database_url: str, request_json: str, tables: Callable[[], set[str]]
) -> None:
    before = tables()
    with halted(database_url, request_json, "workers.sinks.corpora:copy_rows", 1) as process:
        process.kill()
    assert count(engine, LanguageModel) == count(engine, Scan) == 0
    index(engine, request_json)
    assert count(engine, Corpus) == 1
    assert len({t for t in tables() - before if t.startswith("windows_")}) == 1
    assert count(engine, TokenWindow) > 0


def jobs(engine: Engine) -> list[Scan]:
    with db.session(engine) as session:
        return list(session.scalars(select(Scan).order_by(Scan.id)))


def shards(engine: Engine) -> list[Shard]:
    with db.session(engine) as session:
        return list(session.scalars(select(Shard)))


def n_tokens_done(engine: Engine) -> int:
    return sum(shard.n_tokens_done for shard in shards(engine))


def count(engine: Engine, entity: type) -> int:
    with db.session(engine) as session:
        return session.scalar(select(func.count()).select_from(entity)) or 0
