"""How a scan's time falls with workers, and where it goes; how it grows with what is asked.

Real `unitscope worker --threads 1` processes on an embedded PostgreSQL: a job is queued and left to
them, and its own row says when it was begun and complete. Every run scans with another seed, so
nothing is found done already. The first job warms workers and compiled code up and is not counted.

`python -m bench.workers`
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from app import db, embedded
from app.config import get_settings
from app.models import Scan
from workers.index import IndexRequest, run_index
from workers.progress import Silent

DEMO_MODEL = Path(__file__).parent.parent / "demo" / "model"
N_TOKENS = 262_144


@dataclass
class Place:
    """A database with a corpus, and workers on it."""

    engine: Engine
    data_dir: Path
    seeds: Iterator[int] = field(default_factory=lambda: count(1))

    @contextmanager
    def workers(self, n: int) -> Iterator[None]:
        """`n` workers of one thread each, warmed up."""
        env = os.environ | {"UNITSCOPE_DATA_DIR": str(self.data_dir), "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-m", "app.cli", "worker", "--threads", "1"]
        running = [subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) for _ in range(n)]
        try:
            self.seconds(atlas_tokens=4096)
            yield
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(60)

    def seconds(self, **more: Any) -> float:
        """From the first claim to the end of one job that the workers carry out."""
        given: dict[str, Any] = {"tokens": N_TOKENS, "shard_tokens": 16_384, "wait": False}
        given |= {"model": str(DEMO_MODEL), "corpus": "stdlib", "seed": next(self.seeds)}
        result = run_index(IndexRequest(**given | more), self.engine, Silent())
        while True:
            with db.session(self.engine) as session:
                scan = session.scalars(select(Scan).where(Scan.id.in_(result.scan_ids))).one()
            if scan.status == "complete":
                assert scan.started_at is not None and scan.finished_at is not None
                return (scan.finished_at - scan.started_at).total_seconds()
            assert scan.status in ("queued", "running"), scan.error
            time.sleep(0.1)


@contextmanager
def place() -> Iterator[Place]:
    """A fresh data directory."""
    with tempfile.TemporaryDirectory(prefix="unitscope-workers-") as name:
        data_dir = Path(name)
        os.environ["UNITSCOPE_DATA_DIR"] = name
        get_settings.cache_clear()
        address = embedded.start(data_dir).replace("postgresql:", "postgresql+psycopg:", 1)
        engine = db.make_engine(address)
        db.upgrade(engine)
        try:
            yield Place(engine, data_dir)
        finally:
            engine.dispose()
            embedded.stop(data_dir)


def by_workers(numbers: tuple[int, ...] = (1, 2, 4)) -> dict[int, float]:
    """Seconds of the same job with so many workers of one thread each."""
    found = {}
    with place() as here:
        for n in numbers:
            with here.workers(n):
                found[n] = here.seconds()
    return found


def growth() -> dict[str, float]:
    """Seconds of jobs that differ from the first in one thing, with one worker of one thread."""
    jobs: dict[str, dict[str, Any]] = {
        "262,144 tokens, 4,096 neurons, k = 20, context 128": {},
        "twice the tokens": {"tokens": 2 * N_TOKENS},
        "half of the layers": {"neurons": "0,1"},
        "k = 100": {"top_k": 100},
        "context 256": {"context": 256},
        "a quarter of the atlas": {"atlas_tokens": 16_384},
    }
    with place() as here, here.workers(1):
        return {name: here.seconds(**asked) for name, asked in jobs.items()}


def table() -> list[str]:
    """Markdown, a line for each number of workers."""
    found = by_workers()
    lines = ["| workers, one thread each | seconds | tokens/s | × one |", "|---|---|---|---|"]
    for n, seconds in found.items():
        rate = N_TOKENS / seconds
        lines.append(f"| {n} | {seconds:.1f} | {rate:,.0f} | {found[1] / seconds:.2f} |")
    return lines


def growth_table() -> list[str]:
    """Markdown, a line a job."""
    lines = ["| one worker of one thread | seconds |", "|---|---|"]
    return [*lines, *(f"| {name} | {seconds:.1f} |" for name, seconds in growth().items())]


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--growth", action="store_true", help="the second table as well")
    asked = parser.parse_args()
    print(*table(), sep="\n")
    if asked.growth:
        print("", *growth_table(), sep="\n")


if __name__ == "__main__":
    main()
