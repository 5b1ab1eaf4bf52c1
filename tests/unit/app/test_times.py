from datetime import datetime, timedelta, timezone

import pytest

from app.times import format_about, format_duration, format_moment


@pytest.mark.parametrize(
    ("seconds", "printed"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min"),
        (192, "3 min 12 s"),
        (3600, "1 h"),
        (4830, "1 h 20 min"),
        (2 * 86400 + 3 * 3600 + 59, "2 d 3 h"),
        (1e9, "11,574 d 1 h"),
    ],
)
def test_durations_have_their_two_largest_units(seconds: float, printed: str) -> None:
    assert format_duration(seconds) == printed


@pytest.mark.parametrize(
    ("seconds", "printed"),
    [
        (0.1, "about 5 s"),
        (43, "about 45 s"),
        (119, "about 120 s"),
        (725, "about 12 min"),
        (7300, "about 2 h"),
        (1e6, "about 12 days"),
    ],
)
def test_guesses_are_no_finer_than_they_deserve(seconds: float, printed: str) -> None:
    assert format_about(seconds) == printed


def test_moments_are_printed_in_utc() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 59, tzinfo=timezone(timedelta(hours=-2)))
    assert format_moment(moment) == "2026-01-02 05:04 UTC"
