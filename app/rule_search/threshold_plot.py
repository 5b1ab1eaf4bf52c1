"""The plot of precision and recall over the threshold, every step of it a link to the report there.

Geometry alone; `templates/rules/_thresholds.html` draws it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.numbers import format_activation, format_correlation, format_share, format_tick
from app.plots import Tick, nice_values
from app.rule_search.schemas import AtThreshold

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


class Step(NamedTuple):
    """One threshold: its stretch of the axis, and the report's address."""

    x: float
    width: float
    label: str
    href: str


class ThresholdPlot(NamedTuple):
    """Lines in a view box of `width` × `height`; `at` is where the report's own threshold is.

    precision, recall  runs of `x,y` pairs as SVG takes them, one for each stretch without a gap
    """

    width: float
    height: float
    precision: tuple[str, ...]
    recall: tuple[str, ...]
    steps: tuple[Step, ...]
    at: float | None
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def threshold_plot(
    found: Sequence[AtThreshold],
    current: float,
    href: Callable[[float], str],
    width: float = 360,
    height: float = 110,
) -> ThresholdPlot | None:
    """None where the unit is never above 0."""
    if len(found) < 2:
        return None
    step = found[1].threshold
    high = step * len(found)

    def place(value: float) -> float:
        return round(value / high * width, 1)

    def level(share: float) -> float:
        return round((1 - share) * height, 1)

    return ThresholdPlot(
        width,
        height,
        _runs([(place(each.threshold), each.precision) for each in found], level),
        _runs([(place(each.threshold), each.recall) for each in found], level),
        tuple(
            Step(
                place(each.threshold),
                round(width / len(found), 1),
                _label(each),
                href(each.threshold),
            )
            for each in found
        ),
        place(current) if current < high else None,
        tuple(Tick(place(value), format_tick(value)) for value in nice_values(0, high)),
        tuple(Tick(level(share), format_tick(share)) for share in SHARES),
    )


def _runs(
    points: Sequence[tuple[float, float | None]], level: Callable[[float], float]
) -> tuple[str, ...]:
    runs: list[list[str]] = [[]]
    for x, share in points:
        if share is None:
            runs.append([])
        else:
            runs[-1].append(f"{x},{level(share)}")
    return tuple(" ".join(run) for run in runs if len(run) > 1)


def _label(each: AtThreshold) -> str:
    words = [f"fires above {format_activation(each.threshold)}:"]
    for name, value in (("precision", each.precision), ("recall", each.recall)):
        words.append(f"{name} {'undefined' if value is None else format_share(value)},")
    mcc = "undefined" if each.mcc is None else format_correlation(each.mcc)
    return " ".join([*words, f"MCC {mcc}"])
