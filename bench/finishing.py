"""How much of a job is not scanning: the atlas finished and stored, flushes, the merge.

The shipped model with its dictionaries over 10⁶ tokens, in one process as `index --wait` does it.
While the atlas is finished nothing is scanned, so wall time is what counts.

`python -m bench.finishing`
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from bench.workers import DEMO_MODEL, place
from workers.index import IndexRequest, run_index
from workers.jobs.session import ScanSession
from workers.progress import Silent

N_TOKENS = 1_000_000
STAGES = {
    "_scan": "scanning",
    "_write_atlas": "the atlas, finished and stored",
    "_write": "partials",
    "_store_units": "units, logit lens, directions",
    "_finish": "merge, statistics, bulk write",
}


def measure(n_tokens: int = N_TOKENS) -> dict[str, float]:
    """Seconds by stage."""
    saes = sorted(str(path) for path in (Path(DEMO_MODEL).parent / "saes").iterdir())
    with place() as here:
        given: dict[str, Any] = {"model": str(DEMO_MODEL), "corpus": "stdlib", "saes": saes}
        warm = IndexRequest(**given, tokens=n_tokens, seed=1, atlas_tokens=1024, neurons="0")
        run_index(warm, here.engine, Silent())
        with timed() as seconds:
            run_index(IndexRequest(**given, tokens=n_tokens), here.engine, Silent())
    return seconds


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Adds up the time of each stage."""
    seconds: dict[str, float] = defaultdict(float)

    def counting(stage: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return do(*args, **kwargs)
            finally:
                seconds[stage] += time.perf_counter() - began

        return call

    with ExitStack() as stack:
        for name, stage in STAGES.items():
            wrapped = counting(stage, getattr(ScanSession, name))
            stack.enter_context(mock.patch.object(ScanSession, name, wrapped))
        yield seconds


def table(n_tokens: int = N_TOKENS) -> list[str]:
    """Markdown, a line a stage, and what all but the scanning is of it."""
    seconds = measure(n_tokens)
    scanning = seconds[STAGES["_scan"]]
    rest = sum(seconds.values()) - scanning
    lines = [f"| {stage} | {took:.1f} s |" for stage, took in seconds.items()]
    head = ["| stage | seconds |", "|---|---|"]
    return [*head, *lines, f"| all but scanning ÷ scanning | {rest / scanning:.3f} |"]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=N_TOKENS)
    print(*table(parser.parse_args().tokens), sep="\n")


if __name__ == "__main__":
    main()
