"""A worker process for `tests.fire`: the real command, slower, and taken for dead sooner."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRELOADED = [
    "app.cli",
    "app.indexing",
    "workers.index",
    "workers.jobs.worker",
    "transformers.models.gpt2.modeling_gpt2",
    "sae_lens",
    "tests.fire_worker",
]


@dataclass(frozen=True)
class FireSettings:
    """What a worker under fire is started with.

    `address`: empty for the embedded database of the data directory.
    `seconds_alive`: after so long without a sign of life it is taken for dead (None: as ever).
    `slowness`: seconds that each batch takes longer, and each flush before its commit.
    `seconds_between_flushes`: within a shard. `seconds_merged`: what is merged waits for so long
    before it is committed.
    """

    address: str
    data_dir: Path
    seconds_alive: float | None = 1.5
    slowness: float = 0.01
    seconds_between_flushes: float = 0.1
    seconds_merged: float = 0.0
    arguments: tuple[str, ...] = ("worker", "--threads", "1")
    is_deadly: bool = False  # dies of the first windows that it scans


BATCH_TOKENS = 128
"""So few, that a small shard has several batches; equal results need equal batches."""


def run(settings: FireSettings, name: str) -> None:
    """Never returns. Says what it scans in `scanned`, a line a batch, and else in a log."""
    os.environ["UNITSCOPE_DATA_DIR"] = str(settings.data_dir)
    if settings.address:
        os.environ["UNITSCOPE_DATABASE_URL"] = settings.address
    log = os.open(settings.data_dir / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import torch

    torch.set_num_threads(1)
    _slow_down(settings)
    from app import cli

    sys.argv = ["unitscope", *settings.arguments]
    cli.main()


def _slow_down(settings: FireSettings) -> None:
    from app import loss_queue
    from workers import ablation, memory_plan, scan
    from workers.jobs import claims, losses, pulse, queue, session, worker

    if settings.seconds_alive is not None:
        loss_queue.SECONDS_ALIVE = settings.seconds_alive  # type: ignore
        losses._SECONDS_BETWEEN_TRIES = 0.2
        queue.SECONDS_ALIVE = claims.SECONDS_ALIVE = settings.seconds_alive  # type: ignore
        pulse.SECONDS_BETWEEN_BEATS = settings.seconds_alive / 8
        worker._SECONDS_BETWEEN_CONNECTIONS = 0.2
        worker._SECONDS_BETWEEN_POLLS = 0.3
        worker._SECONDS_TO_CONNECT = 1.0
        session._SECONDS_BETWEEN_TRIES = 0.2
    session.SECONDS_BETWEEN_FLUSHES = settings.seconds_between_flushes
    memory_plan.BATCH_TOKENS["cpu"] = BATCH_TOKENS
    draw = random.Random(os.getpid())

    def after(function: Callable[..., Any], seconds: float = 0.0) -> Callable[..., Any]:
        def slow(*args: Any, **kwargs: Any) -> Any:
            found = function(*args, **kwargs)
            time.sleep(seconds or draw.expovariate(1 / settings.slowness))
            return found

        return slow

    scanned = os.open(settings.data_dir / "scanned", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    add = pulse.Activity.add

    def adding(self: pulse.Activity, n_tokens: int) -> None:
        os.write(scanned, f"{n_tokens}\n".encode())
        add(self, n_tokens)

    def deadly(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    pulse.Activity.add = adding  # type: ignore[method-assign]
    forward: Any = deadly if settings.is_deadly else after(ablation._Run._forward)
    ablation._Run._forward = forward  # type: ignore[method-assign]
    scan._update = deadly if settings.is_deadly else after(scan._update)  # type: ignore
    flushed: Any = session  # whose names are replaced
    flushed.partials.write = after(flushed.partials.write)
    flushed.AtlasWriter.write = after(flushed.AtlasWriter.write)
    flushed.finish_scan = after(flushed.finish_scan, settings.seconds_merged)
