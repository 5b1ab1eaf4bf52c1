"""Geometry of the plots: pure arithmetic from counts to rectangles, drawn by `macros/plots.html`.

Counts span decades, so heights are logarithmic: a bin of 1 is a tenth of the height of its decade
and an empty bin has no bar. All coordinates are in the view box's units, rounded to a tenth.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from app.numbers import (
    format_activation,
    format_count,
    format_share,
    format_share_tick,
    format_short_count,
    format_tick,
)
from app.units.schemas import Histogram, Interval

# Density histograms: bin i covers [10^(FIRST + i/PER_DECADE), …).
DENSITY_FIRST_EXPONENT = -8
DENSITY_BINS_PER_DECADE = 4

GAP = 1.0  # between bars
MIN_BAR = 2.0  # height of a bar of one count, so that it can be seen
X_TICKS = 5
EXPLAINED_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Bar(NamedTuple):
    """One bin; `href` is the page that shows what is in it, "" where there is none. `is_out`: the
    reader has selected other bins."""

    x: float
    y: float
    width: float
    height: float
    is_negative: bool
    label: str
    href: str
    is_out: bool


class Tick(NamedTuple):
    """A mark on an axis, at `at` in the view box."""

    at: float
    label: str


class Band(NamedTuple):
    """An interval's stretch of the activation axis."""

    x: float
    width: float
    label: str


class Plot(NamedTuple):
    """A bar plot in a view box of `width` × `height`, its bars standing on `height`."""

    width: float
    height: float
    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    bands: tuple[Band, ...]


def activation_plot(
    histogram: Histogram, intervals: Sequence[Interval], width: float = 360, height: float = 120
) -> Plot | None:
    """A unit's histogram with its intervals under it; None where no position is off zero."""
    edges, counts = histogram.edges, histogram.counts
    if not counts or not any(counts):
        return None
    low, high = edges[0], edges[-1]
    if high <= low:
        return None
    place = _linear(low, high, width)
    tallest = max(counts)
    bars = tuple(
        _bar(
            place(edges[i]),
            place(edges[i + 1]),
            _height(count, tallest, height),
            height,
            is_negative=edges[i + 1] <= 0,
            label=f"{_band(edges[i], edges[i + 1])}: {format_count(count)} positions",
        )
        for i, count in enumerate(counts)
        if count
    )
    ticks = tuple(Tick(_round(place(v)), format_tick(v)) for v in nice_values(low, high))
    return Plot(width, height, bars, ticks, _count_ticks(tallest, height), _bands(intervals, place))


def density_plot(
    counts: Sequence[int],
    href: Callable[[float, float], str] | None = None,
    selected: tuple[float, float] = (0.0, math.inf),
    width: float = 360,
    height: float = 90,
) -> Plot | None:
    """Units per quarter decade of density, whole decades shown; None where every unit is dead.

    `href(low, high)` gives the address of the units whose density is in [low, high); bins that
    lie wholly outside of `selected` are marked as out.
    """
    filled = [i for i, count in enumerate(counts) if count]
    if not filled:
        return None
    first = filled[0] // DENSITY_BINS_PER_DECADE * DENSITY_BINS_PER_DECADE
    last = (filled[-1] // DENSITY_BINS_PER_DECADE + 1) * DENSITY_BINS_PER_DECADE
    place = _linear(first, last, width)
    tallest = max(counts)
    bars = tuple(
        _bar(
            place(i),
            place(i + 1),
            _height(counts[i], tallest, height),
            height,
            label=_density_label(i, counts[i]),
            href=href(density_edge(i), density_edge(i + 1)) if href else "",
            is_out=not _overlap(selected, (density_edge(i), density_edge(i + 1))),
        )
        for i in filled
    )
    ticks = tuple(
        Tick(_round(place(i)), format_share_tick(density_edge(i)))
        for i in range(first, last + 1, DENSITY_BINS_PER_DECADE)
    )
    return Plot(width, height, bars, ticks, _count_ticks(tallest, height), ())


def explained_plot(
    counts: Sequence[int],
    href: Callable[[float, float], str] | None = None,
    selected: tuple[float, float] = (0.0, 1.0),
    width: float = 360,
    height: float = 90,
) -> Plot | None:
    """Units by how much of their variance their best rule explains, in bins of equal breadth from
    0 to 1; None where no unit has one. `href` and `selected`: as in `density_plot`."""
    if not any(counts):
        return None
    place, tallest = _linear(0, 1, width), max(counts)
    edges = [round(i / len(counts), 6) for i in range(len(counts) + 1)]
    bars = tuple(
        _bar(
            place(low),
            place(high),
            _height(count, tallest, height),
            height,
            label=f"{format_share_tick(low)} to {format_share_tick(high)} explained: "
            f"{format_count(count)} units",
            href=href(low, high) if href else "",
            is_out=not _overlap(selected, (low, high)),
        )
        for count, (low, high) in zip(counts, pairwise(edges), strict=True)
        if count
    )
    ticks = tuple(Tick(_round(place(v)), format_share_tick(v)) for v in EXPLAINED_TICKS)
    return Plot(width, height, bars, ticks, _count_ticks(tallest, height), ())


def density_edge(i: int) -> float:
    """Lower edge of density bin `i`, to six digits, for it stands in addresses."""
    return float(f"{10 ** (DENSITY_FIRST_EXPONENT + i / DENSITY_BINS_PER_DECADE):.6g}")


def nice_values(low: float, high: float, n: int = X_TICKS) -> list[float]:
    """About `n` round values (1, 2 or 5 times a power of ten) inside [low, high], ascending."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return []
    rough = span / n
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    if step == 0 or not math.isfinite(step):
        return []
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def _linear(low: float, high: float, width: float) -> Callable[[float], float]:
    return lambda value: (value - low) / (high - low) * width


def _height(count: int, tallest: int, height: float) -> float:
    """Logarithmic in the count, so that a bin of one beside a bin of a million can be seen."""
    if count <= 0:
        return 0.0
    share = math.log10(1 + count) / math.log10(1 + tallest)
    return max(share * height, MIN_BAR)


def _count_ticks(tallest: int, height: float) -> tuple[Tick, ...]:
    decades = range(int(math.log10(tallest)) + 1)
    every = 1 + len(decades) // 4
    return tuple(
        Tick(_round(height - _height(10**i, tallest, height)), format_short_count(10**i))
        for i in decades[::every]
    )


def _bar(
    left: float,
    right: float,
    tall: float,
    height: float,
    *,
    is_negative: bool = False,
    label: str,
    href: str = "",
    is_out: bool = False,
) -> Bar:
    width = max(right - left - GAP, 0.5)
    x, y = _round(left + GAP / 2), _round(height - tall)
    return Bar(x, y, _round(width), _round(tall), is_negative, label, href, is_out)


def _bands(intervals: Sequence[Interval], place: Callable[[float], float]) -> tuple[Band, ...]:
    return tuple(
        Band(
            _round(place(each.low)),
            _round(max(place(each.high) - place(each.low), 0.0)),
            f"interval {each.index + 1}: {_band(each.low, each.high)}, "
            f"{format_share(each.share_of_positions)} of positions, "
            f"{format_share(each.share_of_mass)} of mass",
        )
        for each in intervals
    )


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two ranges share more than a rounding error's breadth."""
    low, high = max(one[0], other[0]), min(one[1], other[1])
    return high > low * (1 + 1e-6)


def _density_label(i: int, count: int) -> str:
    low, high = format_share(density_edge(i)), format_share(density_edge(i + 1))
    return f"density {low} to {high}: {format_count(count)} units"


def _band(low: float, high: float) -> str:
    return f"{format_activation(low)} to {format_activation(high)}"


def _round(value: float) -> float:
    return round(value, 1)
