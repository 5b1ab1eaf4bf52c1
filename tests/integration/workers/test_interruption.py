"""A process that indexes is told to stop, or killed, at every stage: nothing half-made stays."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from app import db
from app.models import Corpus, Examples, LanguageModel, Scan, ScanSource, Source, TokenWindow
from workers.index import IndexRequest, run_index
from workers.progress import Silent

# Stops for good at the first thing done in the stage that it is given, and says so.
# (A shell that starts tests in the background has SIGINT ignored, and children inherit that.)
SCRIPT = """
import json, signal, sys, time
from app import db
from workers.index import IndexRequest, run_index
from workers.progress import Silent

class Halting(Silent):
    stage = ""
    def start(self, stage, total, unit):
        self.stage = stage
    def advance(self, n):
        if self.stage.startswith(sys.argv[2]):
            print("there", flush=True)
            time.sleep(600)

signal.signal(signal.SIGINT, signal.default_int_handler)
run_index(IndexRequest(**json.loads(sys.argv[1])), db.make_engine(db.database_url()), Halting())
"""


@pytest.fixture
def request_json(model_directory: Callable[[str], Path], tmp_path: Path) -> str:
    corpus = tmp_path / "text.txt"
    corpus.write_text("The quick brown fox jumps over the lazy dog, again and again. " * 40)
    given = {"model": str(model_directory("gpt2")), "corpus": str(corpus), "device": "cpu"}
    return json.dumps(given | {"context": 16, "neurons": "0"})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("stage", ["Scanning", "Storing"])
def test_nothing_half_made_is_seen_and_the_next_run_completes(
    engine: Engine,
    database_url: str,
    request_json: str,
    tables: Callable[[], set[str]],
    stage: str,
    number: int,
) -> None:
    env = os.environ | {"UNITSCOPE_DATABASE_URL": database_url}
    command = [sys.executable, "-c", SCRIPT, request_json, stage]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.send_signal(number)
        process.wait(60)
    assert process.returncode != 0
    partitions = {t for t in tables() if t.startswith(("examples_", "unit_stats_"))}
    assert partitions == set()
    for entity in (Source, ScanSource, Examples):
        assert count(engine, entity) == 0
    # What is told to stop tidies up at once; what is killed leaves that to the next run.
    assert count(engine, LanguageModel) == (1 if number == signal.SIGKILL else 0)
    assert count(engine, Corpus) == 1  # complete in itself, and used again
    result = run_index(IndexRequest(**json.loads(request_json)), engine, Silent())
    assert result.n_new_sources == 1
    with db.session(engine) as session:
        statuses = session.scalars(select(Scan.status).order_by(Scan.id)).all()
    assert statuses[-1] == "complete"
    assert "running" not in statuses
    assert count(engine, ScanSource) == 1


def test_a_corpus_that_was_being_read_leaves_nothing(
    engine: Engine, database_url: str, request_json: str, tables: Callable[[], set[str]]
) -> None:
    before = tables()
    env = os.environ | {"UNITSCOPE_DATABASE_URL": database_url}
    command = [sys.executable, "-c", SCRIPT, request_json, "Reading"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.kill()
    run_index(IndexRequest(**json.loads(request_json)), engine, Silent())
    assert count(engine, Corpus) == 1
    assert len({t for t in tables() - before if t.startswith("windows_")}) == 1
    assert count(engine, TokenWindow) > 0


def count(engine: Engine, entity: type) -> int:
    with db.session(engine) as session:
        return session.scalar(select(func.count()).select_from(entity)) or 0
