"""The demo as a person meets it: the time to a served site, its memory, its pages, its bytes.

Runs the real command in a data directory of its own, twice, and asks the second site for pages.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from sqlalchemy import text

from app import db, embedded
from app.postmaster import running_socket

N_UNITS = 40
N_ROUNDS = 5
SECONDS_TO_START = 900
SECONDS_BETWEEN_LOOKS = 0.25


@dataclass(frozen=True)
class Figures:
    """What `measure` found; times in seconds, memory and storage in bytes."""

    first_run: float
    second_run: float
    peak_memory: int
    n_tokens: int
    n_units: int
    bytes_a_unit: float
    page_median: float
    page_95th: float


def measure() -> Figures:
    """Runs the demo twice on a fresh data directory."""
    with tempfile.TemporaryDirectory(prefix="unitscope-bench-") as folder:
        data_dir = Path(folder)
        with demo_site(data_dir) as (_, first_run, memory):
            pass
        with demo_site(data_dir) as (url, second_run, _):
            n_tokens, n_units, stored = count_stored(data_dir)
            times = page_times(url)
        return Figures(
            first_run=first_run,
            second_run=second_run,
            peak_memory=memory.peak,
            n_tokens=n_tokens,
            n_units=n_units,
            bytes_a_unit=stored / n_units,
            page_median=statistics.median(times),
            page_95th=statistics.quantiles(times, n=20)[-1],
        )


class MemoryWatch:
    """The most memory that a process, its descendants and its database held at once.

    Counts proportional set sizes, so that what processes share counts once.
    """

    def __init__(self, process_id: int, data_dir: Path) -> None:
        self.peak = 0
        self._root = psutil.Process(process_id)
        self._cluster = data_dir / embedded.DIRECTORY
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(SECONDS_BETWEEN_LOOKS):
            self.peak = max(self.peak, sum(held_memory(process) for process in self._family()))

    def _family(self) -> set[psutil.Process]:
        try:
            family = {self._root, *self._root.children(recursive=True)}
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
            postmaster = psutil.Process(int(lines[0]))
            return family | {postmaster, *postmaster.children()}
        except (psutil.NoSuchProcess, FileNotFoundError, IndexError, ValueError):
            return {self._root}


def held_memory(process: psutil.Process) -> int:
    """Its proportional set size; 0 where it has ended meanwhile."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


@contextmanager
def demo_site(data_dir: Path) -> Iterator[tuple[str, float, MemoryWatch]]:
    """Runs `unitscope demo`; gives the site's address and the seconds until it answered."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "UNITSCOPE_DATA_DIR": str(data_dir)}
    environment.pop("UNITSCOPE_DATABASE_URL", None)
    began = time.perf_counter()
    command = [sys.executable, "-m", "app.cli", "demo", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=sys.stderr) as process:
        memory = MemoryWatch(process.pid, data_dir)
        try:
            await_answer(url, process)
            took = time.perf_counter() - began
            memory.stop()
            yield url, took, memory
        finally:
            memory.stop()
            process.terminate()
            process.wait(60)


def await_answer(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Waits until the site answers its home page."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"The demo ended with status {process.returncode} before it served.")
        try:
            if httpx.get(url, timeout=10).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    sys.exit(f"The demo does not serve after {SECONDS_TO_START} s.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def page_times(url: str) -> list[float]:
    """Seconds for the pages of units spread over all sources, each asked for several times."""
    times = []
    with httpx.Client(base_url=url, timeout=60) as client:
        sources = client.get("/api/v1/models/demo/sources").raise_for_status().json()["items"]
        for round_number in range(N_ROUNDS):
            for number in range(N_UNITS):
                source = sources[number % len(sources)]
                index = (number * 97 + round_number) % source["n_units"]
                began = time.perf_counter()
                client.get(f"/demo/{source['source']}/{index}").raise_for_status()
                times.append(time.perf_counter() - began)
    return times[N_UNITS:]  # the first round warms the caches


def count_stored(data_dir: Path) -> tuple[int, int, int]:
    """Tokens scanned, units stored, and the bytes of all that is kept for units, with indexes."""
    socket_dir = running_socket(data_dir / embedded.DIRECTORY)
    assert socket_dir is not None, "the demo is running"
    address = embedded.address(socket_dir, embedded.DATABASE)
    engine = db.make_engine(address.replace("postgresql:", "postgresql+psycopg:", 1))
    with engine.connect() as connection:
        n_tokens = connection.scalar(text("SELECT max(n_tokens) FROM corpora"))
        n_units = connection.scalar(text("SELECT count(*) FROM units"))
        stored = connection.scalar(
            text(
                "SELECT sum(pg_total_relation_size(relid)) FROM (VALUES ('units'::regclass), "
                "('unit_stats'), ('examples')) AS t(name), pg_partition_tree(t.name)"
            )
        )
    engine.dispose()
    return int(n_tokens or 0), int(n_units or 0), int(stored or 0)
