"""Rule search over made-up atlases: `python -m bench.rule_search [NAME…]`.

The atlases are made from a seed and lie in files, as in the local cache: 50 latents active at a
position, some a hundred times as often as others; or dense neurons of which every eighth activation
is kept. Rules match clustered positions, from 1 in 10,000 to 5%. What is timed is a whole search:
all units, six figures, the best 20 with intervals. Memory is what the process holds beyond the
mapped files at its worst, and includes what is derived once.
"""

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.atlas import unit_major
from app.atlas.files import mapped
from app.atlas.opened import OpenAtlas
from app.rule_search.chance import chance
from app.rule_search.ranking import Searched, search

N_RULES, N_AT_ONCE = 20, 8
MOST_MATCHED = 0.05
WINDOW, DOCUMENT = 128, 1024  # positions
BLOCK = 65_536  # positions made at once
MEGABYTE = 1e6


@dataclass(frozen=True)
class Size:
    """An atlas to make: `active` units at each position, drawn one from each of as many runs."""

    n_units: int
    n_positions: int
    active: int
    is_signed: bool


SIZES = {
    "100k": Size(100_000, 1_000_000, 50, False),
    "dense": Size(36_864, 65_536, 36_864 // 8, True),
    "1M": Size(1_000_000, 1_000_000, 50, False),
}


def make(folder: Path, size: Size) -> OpenAtlas:
    """The atlas in files, mapped."""
    rng = np.random.default_rng(0)
    n_entries = size.n_positions * size.active
    dtype = "<u2" if size.n_units <= 2**16 else "<u4"
    with (folder / "units").open("wb") as units, (folder / "levels").open("wb") as levels:
        step = max(BLOCK * 50 // size.active, 1)
        for at in range(0, size.n_positions, step):
            shape = (min(step, size.n_positions - at), size.active)
            drawn = rng.random(shape, np.float32)
            run = size.n_units // size.active
            spread = drawn if size.is_signed else drawn * drawn
            places = np.minimum((spread * run).astype(np.int64), run - 1)
            units.write((places + np.arange(size.active) * run).astype(dtype).tobytes())
            levels.write(_levels(rng, shape, size.is_signed).tobytes())
    (folder / "starts").write_bytes((np.arange(size.n_positions + 1) * size.active).tobytes())
    rows = (
        mapped(folder / "starts", "<i8", size.n_positions + 1),
        mapped(folder / "units", dtype, n_entries),
        mapped(folder / "levels", "u1", n_entries),
    )
    unit_major.write(folder, "bench", *rows, size.n_units)
    kept = unit_major.read(folder, "bench", size.n_units, n_entries)
    highs = rng.random(size.n_units, dtype=np.float32) + np.float32(0.5)
    lows = highs * np.float32(-0.06 if size.is_signed else 0)
    return OpenAtlas("bench", *rows, lows, highs, np.zeros(size.n_units, np.float32), kept)


def _levels(rng: np.random.Generator, shape: tuple[int, int], is_signed: bool) -> np.ndarray:
    """Many small activations and few great ones; of dense units both signs, none at zero."""
    drawn = rng.random(shape, np.float32)
    levels = (drawn * drawn * 254).astype(np.uint8) + np.uint8(1)
    zero = 14  # of lows of -0.06 × highs
    return np.where(levels == zero, np.uint8(zero + 1), levels) if is_signed else levels


def rules(n_positions: int) -> Iterator[np.ndarray]:
    """Positions of rules from rare to frequent, in clusters: windows differ in how they match."""
    rng = np.random.default_rng(1)
    favour = np.repeat(rng.exponential(1, n_positions // WINDOW + 1), WINDOW)[:n_positions]
    for share in np.geomspace(1e-4, MOST_MATCHED, N_RULES):
        is_matched = rng.random(n_positions) < np.minimum(favour * share, 1)
        found = np.flatnonzero(is_matched)
        yield found[: int(MOST_MATCHED * n_positions)]


def measure(name: str, size: Size) -> str:
    """A line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        atlas = make(Path(folder), size)
        made = time.perf_counter() - begin
        documents = (np.arange(size.n_positions) // DOCUMENT).astype(np.int32)
        asked = [*rules(size.n_positions)]
        ask: Callable[[np.ndarray], object] = lambda m: search([Searched(atlas)], m, documents)  # noqa: E731
        base = _held()
        with _peak() as peak:
            first = _time(ask, asked[0])
            times = [_time(ask, matched) for matched in asked]
            most = max(_time(ask, asked[-1]) for _ in range(5))
            best = _time(
                lambda m: search([Searched(atlas)], m, documents, threshold="best"), asked[-1]
            )
            moved = _time(lambda m: chance([atlas], m, documents, n_shifts=1), asked[-1])
            with ThreadPoolExecutor(N_AT_ONCE) as people:
                begin = time.perf_counter()
                [*people.map(ask, asked[-N_AT_ONCE:])]
                at_once = time.perf_counter() - begin
        figures = [statistics.median(times), max(*times, most), at_once, first, best, moved]
        shown = " | ".join(f"{1e3 * each:.0f} ms" for each in figures)
        return f"| {name} | {shown} | {(peak[0] - base) / MEGABYTE:.0f} MB | {made:.0f} s |"


def table(names: Sequence[str] = ()) -> Iterator[str]:
    """Markdown, a line for each size, as they are measured."""
    yield "| atlas | median | worst | 8 at once | first | best | one move | memory | made |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name in names or SIZES:
        yield measure(name, SIZES[name])


def _time(ask: Callable[[np.ndarray], object], matched: np.ndarray) -> float:
    begin = time.perf_counter()
    ask(matched)
    return time.perf_counter() - begin


def _held() -> int:
    """Bytes of this process's memory that are no file's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


@contextmanager
def _peak() -> Iterator[list[int]]:
    """Watches the process's memory; the list's one number is the most held."""
    most, is_over = [0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.002):
            most[0] = max(most[0], _held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        is_over.set()
        watcher.join()


if __name__ == "__main__":
    for line in table(sys.argv[1:]):
        print(line, flush=True)
