"""How times are printed: on pages and in the terminal."""

from datetime import UTC, datetime
from itertools import pairwise

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_GUESSES = ((86400, "days"), (3600, "h"), (60, "min"))
_SECONDS_STEP = 5


def format_duration(seconds: float) -> str:
    """How long something took, in its two largest units: 4 s, 3 min 12 s, 1 h 20 min, 2 d 3 h."""
    whole = max(round(seconds), 0)
    for (size, unit), (smaller, smaller_unit) in pairwise(_UNITS):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size:,} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"


def format_about(seconds: float) -> str:
    """How long something may still take, no finer than a guess deserves: 45 s, 12 min, 14 h."""
    for size, unit in _GUESSES:
        if seconds >= 2 * size:
            return f"about {round(seconds / size):,} {unit}"
    return f"about {max(round(seconds / _SECONDS_STEP), 1) * _SECONDS_STEP} s"


def format_moment(moment: datetime) -> str:
    """To the minute: 2026-01-02 03:04 UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
