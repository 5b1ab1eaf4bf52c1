"""What a scan should find, by loops that a reader can check against the definitions."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.codec import Scale, encode


@dataclass(frozen=True)
class Window:
    """One token window and the activations of all units on it."""

    index: int
    x: np.ndarray  # (tokens, units)
    is_counted: np.ndarray  # (tokens,)
    is_duplicate: bool = False

    def counted(self, unit: int) -> list[tuple[int, float]]:
        return [(p, float(self.x[p, unit])) for p in range(len(self.x)) if self.is_counted[p]]


@dataclass(frozen=True)
class NaiveExample:
    """One example, as `workers.kernels.extremes` keeps it."""

    value: float
    window: int
    position: int
    max_position: int
    low: float
    high: float
    levels: tuple[int, ...]


def extremes(windows: list[Window], unit: int, k: int, sign: int) -> list[NaiveExample]:
    """The k windows by (-activation, window) for sign 1, by (activation, window) for sign -1."""
    found = []
    for window in windows:
        counted = window.counted(unit)
        if window.is_duplicate or not counted:
            continue
        position, value = min(counted, key=lambda pair: (-sign * pair[1], pair[0]))
        if value == 0 or (sign == -1 and value > 0):
            continue
        found.append(_example(window, unit, position, value))
    return sorted(found, key=lambda example: (-sign * example.value, example.window))[:k]


def active_sample(
    windows: list[Window], unit: int, k: int, key: Callable[[int], int]
) -> list[NaiveExample]:
    """Of the windows where the unit is active, the k with the smallest keys."""
    found = []
    for window in windows:
        counted = window.counted(unit)
        if window.is_duplicate or not any(value > 0 for _, value in counted):
            continue
        position, value = min(counted, key=lambda pair: (-pair[1], pair[0]))
        found.append(_example(window, unit, position, value))
    return sorted(found, key=lambda example: key(example.window))[:k]


def _example(window: Window, unit: int, position: int, value: float) -> NaiveExample:
    counted = window.counted(unit)
    low, high = min(v for _, v in counted), max(v for _, v in counted)
    scale = Scale(low, high)
    levels = [scale.zero] * len(window.x)
    for p, v in counted:
        levels[p] = int(encode(np.array([v], dtype=np.float32), scale)[0])
    first_high = next(p for p, v in counted if v == high)
    return NaiveExample(value, window.index, position, first_high, low, high, tuple(levels))


@dataclass(frozen=True)
class NaiveMoments:
    """One unit over all counted positions, in Python's own float64."""

    n_tokens: int
    n_active: int
    sums: tuple[float, float, float, float]
    max: float
    min: float


def moments(windows: list[Window], unit: int) -> NaiveMoments:
    """Counts and power sums; duplicates count."""
    values = [value for window in windows for _, value in window.counted(unit)]
    powers = (sum(v**power for v in values) for power in (1, 2, 3, 4))
    return NaiveMoments(
        n_tokens=len(values),
        n_active=sum(v > 0 for v in values),
        sums=tuple(powers),  # type: ignore[arg-type]
        max=max(values, default=-np.inf),
        min=min(values, default=np.inf),
    )
