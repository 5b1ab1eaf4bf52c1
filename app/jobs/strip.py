"""A job's shards as a strip of cells, one a shard; of very many, one for a run of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.jobs.progress import share
from app.numbers import format_count, format_share

MAX_CELLS = 400
LETTERS = {"atlas": "A", "units": "U", "finish": "F"}
WORDS = {
    "atlas": "the sample",
    "units": "the units’ logit lens",
    "finish": "merging and storing",
}


@dataclass(frozen=True, slots=True)
class ShardRow:
    """What the strip shows of a shard; `is_troubled`: it failed, and is not done since."""

    index: int
    kind: str
    status: str
    first_window: int
    last_window: int
    n_tokens: int
    n_tokens_done: int
    n_attempts: int
    is_troubled: bool


class Cell(NamedTuple):
    """One cell: its state, how far it is (a share as CSS takes it), a letter, and all in words."""

    state: str
    share: str
    letter: str
    title: str


def strip(shards: Sequence[ShardRow], in_hand: Mapping[int, int]) -> list[Cell]:
    """The cells. `in_hand`: by shard, tokens that a worker has done and not stored."""
    size = -(-len(shards) // MAX_CELLS)
    if size <= 1:
        return [_cell(shard, in_hand.get(shard.index, 0)) for shard in shards]
    return [_run(shards[i : i + size]) for i in range(0, len(shards), size)]


def describe(shard: ShardRow) -> str:
    """`Shard 3, windows 128 to 255`."""
    what = WORDS.get(shard.kind, shard.kind)
    if shard.kind == "windows":
        last = format_count(max(shard.last_window - 1, shard.first_window))
        what = f"windows {format_count(shard.first_window)} to {last}"
    return f"Shard {shard.index}, {what}"


def _cell(shard: ShardRow, in_hand: int) -> Cell:
    state = _state(shard)
    done = share(shard.n_tokens_done + in_hand, shard.n_tokens)
    words = {"troubled": "failed, to be tried again"}.get(state, state)
    if state == "done":
        done = 1.0
    elif done is not None and shard.n_tokens_done + in_hand > 0:
        words = f"{words}, {format_share(done)} of {format_count(shard.n_tokens)} tokens"
    letter = LETTERS.get(shard.kind, "")
    return Cell(state, _css(done), letter, f"{describe(shard)}: {words}")


def _run(shards: Sequence[ShardRow]) -> Cell:
    states = [_state(shard) for shard in shards]
    counts = {state: states.count(state) for state in ("done", "running", "troubled", "waiting")}
    state = next(
        (each for each in ("troubled", "running", "waiting") if counts[each]),
        "done",
    )
    words = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    title = f"Shards {shards[0].index} to {shards[-1].index}: {words}"
    return Cell(state, _css(counts["done"] / len(shards)), "", title)


def _state(shard: ShardRow) -> str:
    if shard.status in ("done", "running"):
        return shard.status
    return "troubled" if shard.is_troubled else "waiting"


def _css(done: float | None) -> str:
    return f"{done or 0:.3g}"
