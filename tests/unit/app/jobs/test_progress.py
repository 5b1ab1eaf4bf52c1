"""Figures that a worker or a clock may spoil come out as unknown, not as nonsense."""

import math
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from app.jobs.progress import read_worker, seconds_left, share, total_rate
from app.jobs.schemas import JobWorker
from app.models import Worker


def worker(rate: float | None, n_tokens_done: int = 0) -> JobWorker:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    return read_worker(
        Worker(
            id=uuid4(),
            name="host:1",
            device="cpu",
            doing="scanning",
            n_tokens_done=n_tokens_done,
            tokens_per_second=rate,
            started_at=now,
            seen_at=now,
        )
    )


@pytest.mark.parametrize("rate", [None, math.nan, math.inf, -math.inf, -1.0])
def test_a_rate_that_cannot_be_is_unknown(rate: float | None) -> None:
    assert worker(rate).tokens_per_second is None
    assert total_rate([worker(rate)]) is None
    assert total_rate([worker(rate), worker(5.0)]) == 5.0


def test_a_negative_count_is_none() -> None:
    assert worker(1.0, n_tokens_done=-5).n_tokens_done == 0


@pytest.mark.parametrize(
    ("n_tokens", "rate", "seconds"),
    [
        (100, 10.0, 10.0),
        (100, None, None),
        (100, 0.0, None),
        (100, 1e-30, None),
        (0, 10.0, None),
        (-5, 10.0, None),
    ],
)
def test_time_left_is_unknown_where_no_end_is_in_sight(
    n_tokens: int, rate: float | None, seconds: float | None
) -> None:
    assert seconds_left(n_tokens, rate) == seconds


@pytest.mark.parametrize(
    ("done", "of", "expected"), [(1, 4, 0.25), (9, 4, 1.0), (-1, 4, 0.0), (3, 0, None)]
)
def test_a_share_is_from_nothing_to_all(done: int, of: int, expected: float | None) -> None:
    assert share(done, of) == expected
