"""A strip says of every shard what its state is, by more than its colour."""

import time
from dataclasses import replace

import pytest

from app.jobs.strip import MAX_CELLS, ShardRow, strip

SHARD = ShardRow(
    index=3,
    kind="windows",
    status="waiting",
    first_window=128,
    last_window=256,
    n_tokens=1000,
    n_tokens_done=0,
    n_attempts=0,
    is_troubled=False,
)


def test_a_shard_has_a_cell_with_its_windows_in_words() -> None:
    (cell,) = strip([SHARD], {})
    assert cell.title == "Shard 3, windows 128 to 255: waiting"
    assert (cell.state, cell.share, cell.letter) == ("waiting", "0", "")


def test_a_running_shard_counts_what_its_worker_has_in_hand() -> None:
    (cell,) = strip([replace(SHARD, status="running", n_tokens_done=250)], {3: 250, 4: 7})
    assert cell.share == "0.5"
    assert cell.title.endswith("running, 50.0% of 1,000 tokens")


def test_a_share_is_never_above_one() -> None:
    (cell,) = strip([replace(SHARD, status="running")], {3: 10**15})
    assert cell.share == "1"


@pytest.mark.parametrize(
    ("status", "state"), [("waiting", "troubled"), ("running", "running"), ("done", "done")]
)
def test_a_failure_shows_until_the_shard_is_taken_up_again(status: str, state: str) -> None:
    (cell,) = strip([replace(SHARD, status=status, is_troubled=True)], {})
    assert cell.state == state


@pytest.mark.parametrize(("kind", "letter"), [("atlas", "A"), ("units", "U"), ("finish", "F")])
def test_shards_of_other_kinds_have_a_letter(kind: str, letter: str) -> None:
    (cell,) = strip([replace(SHARD, kind=kind, n_tokens=0, status="done")], {})
    assert (cell.letter, cell.share) == (letter, "1")


def test_an_unknown_kind_is_shown_as_it_is_called() -> None:
    (cell,) = strip([replace(SHARD, kind="later")], {})
    assert cell.title == "Shard 3, later: waiting"


@pytest.mark.parametrize("n", [1, MAX_CELLS, MAX_CELLS + 1, 5000])
def test_every_shard_is_in_one_cell(n: int) -> None:
    cells = strip([replace(SHARD, index=i) for i in range(n)], {})
    assert len(cells) <= MAX_CELLS
    assert sum(_size(cell.title) for cell in cells) == n


def _size(title: str) -> int:
    words = title.partition(":")[0].split()
    return int(words[3]) - int(words[1]) + 1 if words[0] == "Shards" else 1


def test_a_run_of_shards_is_counted_and_shows_what_needs_a_look() -> None:
    states = ["done"] * 6 + ["running", "waiting"]
    shards = [replace(SHARD, index=i, status=states[i % 8]) for i in range(8 * MAX_CELLS)]
    cell = strip(shards, {})[0]
    assert cell.title == "Shards 0 to 7: 6 done, 1 running, 1 waiting"
    assert (cell.state, cell.share) == ("running", "0.75")
    shards[2] = replace(shards[2], status="waiting", is_troubled=True)
    assert strip(shards, {})[0].state == "troubled"


def test_no_shards_have_no_cells() -> None:
    assert strip([], {}) == []


def test_thousands_of_shards_take_milliseconds() -> None:
    shards = [replace(SHARD, index=i) for i in range(5000)]
    began = time.perf_counter()
    strip(shards, {})
    assert time.perf_counter() - began < 0.05
