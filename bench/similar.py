"""Similar units over a made-up atlas: `python -m bench.similar`.

Dense neurons of which every eighth activation is kept, at 65,536 positions; directions of 768
dimensions. In memory, so that what is timed is the comparison; the first answer has the pass for
the moments in it, and the loading of the compiled code.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np

from app.atlas.neighbours import Nearest, by_activation, by_direction
from app.atlas.opened import OpenAtlas, OpenDirections

N_POSITIONS, D_MODEL, KEPT = 65_536, 768, 8  # every eighth
N_QUESTIONS = 20


@dataclass(frozen=True)
class Figures:
    """Seconds."""

    first: float
    activation: float
    direction: float


def measure(n_units: int, n_sources: int) -> Figures:
    """The times of answers over `n_units` in all."""
    rng = np.random.default_rng(0)
    atlases = [_atlas(f"{i}", n_units // n_sources, rng) for i in range(n_sources)]
    vectors = [_directions(f"{i}", n_units // n_sources, rng) for i in range(n_sources)]
    units = count()
    first = _time(lambda: by_activation(atlases[0], next(units), atlases, 0))
    by_direction(vectors[0], next(units), vectors, 0)
    return Figures(
        first,
        _median(lambda: by_activation(atlases[0], next(units), atlases, 0)),
        _median(lambda: by_direction(vectors[0], next(units), vectors, 0)),
    )


def _atlas(key: str, n_units: int, rng: np.random.Generator) -> OpenAtlas:
    n_kept = n_units // KEPT
    drawn = rng.integers(0, KEPT, (N_POSITIONS, n_kept), dtype=np.int16)
    units = (np.arange(0, n_units, KEPT, dtype=np.int16)[None, :n_kept] + drawn).astype(np.uint16)
    highs = rng.random(n_units, dtype=np.float32) * 5 + np.float32(0.01)
    return OpenAtlas(
        key,
        np.arange(N_POSITIONS + 1) * n_kept,
        units.ravel(),
        rng.integers(0, 256, units.size, dtype=np.uint8),
        highs * np.float32(-0.05),
        highs,
        np.zeros(n_units, np.float32),
    )


def _directions(key: str, n_units: int, rng: np.random.Generator) -> OpenDirections:
    vectors = rng.normal(size=(n_units, D_MODEL)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return OpenDirections(key, vectors.astype(np.float16))


def _time(ask: Callable[[], Nearest]) -> float:
    begin = time.perf_counter()
    ask()
    return time.perf_counter() - begin


def _median(ask: Callable[[], Nearest]) -> float:
    return statistics.median(_time(ask) for _ in range(N_QUESTIONS))


def table() -> list[str]:
    """Markdown, a line for each size."""
    lines = ["| units | first answer | by activation | by direction |", "|---|---|---|---|"]
    for n_units, n_sources in ((10_240, 8), (36_864, 12)):
        found = measure(n_units, n_sources)
        lines.append(
            f"| {n_units:,} | {found.first:.2f} s | {found.activation * 1e3:.0f} ms "
            f"| {found.direction * 1e3:.0f} ms |"
        )
    return lines


if __name__ == "__main__":
    print(*table(), sep="\n")
