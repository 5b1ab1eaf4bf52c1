"""The scan beside its physical limit: the plain Hugging Face forward to the last hooked layer, and
of a dictionary the product with its encoder's matrix.

Same model, same batches, same number of threads, a few batches each in turns, so that whatever
else the machine does falls on all alike. The forward runs in two arrangements, all threads in one
batch and a batch a thread, as the scan does it; the faster one counts. `python -m bench.scan`
prints the ratios, and what each stage takes of processor time, as a share of the forward's (on a
GPU that is the time to start it).
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from bench.models import GPT2_SMALL, Subject, open_model
from workers import scan
from workers.atlas import AtlasBuilder
from workers.finish import finish_atlas
from workers.kernels.sampling import sample_windows
from workers.memory_plan import BATCH_TOKENS
from workers.scan import Scanner, open_scanner
from workers.sources.language_models import LoadedModel, load_model
from workers.sources.stored_windows import WindowBatch
from workers.sources.unit_sources import SaeSource, UnitSource, neuron_source, sae_source
from workers.spool import SourceSpool

ATLAS_TOKENS = 65536  # at most a quarter of what is scanned
TURN_TOKENS = 65536
READINGS = ("neurons", "sae", "all")


@dataclass(slots=True)
class Timings:
    """Seconds of both contestants turn by turn; seconds by stage, of all threads together."""

    plain: list[float] = field(default_factory=list)
    plain_by_batch: list[float] = field(default_factory=list)
    scan: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    finish: float = 0.0
    stages: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def fastest_plain(self) -> list[float]:
        """The plain forward's turns, in the better of its two arrangements."""
        return min(self.plain, self.plain_by_batch, key=sum)

    @property
    def ratio(self) -> float:
        """Whole scan ÷ whole plain forward, finishing not included."""
        return sum(self.scan) / sum(self.fastest_plain)

    @property
    def cpu_ratio(self) -> float:
        """Processor time of the scan ÷ that of the forward, both a batch a thread.

        Other programs on the machine touch it less than wall time; threads that wait spinning,
        as those in one batch do, would count as work.
        """
        return self.cpu["scan"] / self.cpu["plain_by_batch"]

    @property
    def median_ratio(self) -> float:
        """The median of the turns' own ratios."""
        return float(np.median(np.array(self.scan) / np.array(self.fastest_plain)))


def measure(
    directory: str,
    n_tokens: int,
    context: int = 128,
    top_k: int = 20,
    saes: tuple[str, ...] = (),
    *,
    has_neurons: bool = True,
    device: str = "auto",
) -> Timings:
    """Scans random tokens with all neurons (and SAEs), batch by batch in turns with the forward."""
    model = load_model(directory, device=device)
    layers = [neuron_source(model, layer) for layer in range(model.n_layers * has_neurons)]
    sources: list[UnitSource] = [*layers, *(sae_source(spec, model) for spec in saes)]
    batches = list(random_batches(model, n_tokens, context))
    n_counted = np.concatenate([batch.is_counted.sum(dim=1).numpy() for batch in batches])
    sampled = sample_windows(n_counted, min(ATLAS_TOKENS, n_tokens // 4), 0)
    found = Timings()
    with tempfile.TemporaryDirectory() as scratch:
        given = (model, sources)
        settings = {"top_k": top_k, "context": context, "scratch": Path(scratch)}
        atlas = AtlasBuilder(0, sampled, sampled, len(n_counted))
        with open_scanner(*given, **settings) as warm, warm.collecting(atlas):  # type: ignore[arg-type]
            warm.run(batches[:2])
        atlas = AtlasBuilder(0, sampled, sampled, len(n_counted))
        with (
            open_scanner(*given, **settings) as scanner,  # type: ignore[arg-type]
            scanner.collecting(atlas),
            staged(found),
        ):
            _take_turns(model, scanner, batches, found)
            found.finish = _seconds(model, lambda: _finish(scanner))
    return found


def random_batches(model: LoadedModel, n_tokens: int, context: int) -> Iterator[WindowBatch]:
    """Windows of random tokens, each with an uncounted first one, of the scan's own batch size."""
    each = BATCH_TOKENS[model.device.type] // context
    generator = torch.Generator().manual_seed(0)
    is_counted = torch.ones((each, context), dtype=torch.bool)
    is_counted[:, 0] = False
    for first in range(0, max(n_tokens // context, each) - each + 1, each):
        yield WindowBatch(
            windows=torch.arange(first, first + each, dtype=torch.int32),
            token_ids=torch.randint(model.d_vocab, (each, context), generator=generator),
            lengths=torch.full((each,), context, dtype=torch.int32),
            is_counted=is_counted,
            is_duplicate=torch.zeros(each, dtype=torch.bool),
        )


def _take_turns(
    model: LoadedModel,
    scanner: Scanner,
    batches: list[WindowBatch],
    found: Timings,
) -> None:
    hooked = [part.source.hook_point for part in scanner.sources]
    products = _encoder_matrices(model, scanner)

    def run(replica: LoadedModel, batch: WindowBatch) -> None:
        read = replica.run_to(batch.token_ids.to(model.device), None, hooked)
        for hook_point, matrix in products:
            read[hook_point] @ matrix

    def plain(some: list[WindowBatch]) -> None:
        for batch in some:
            run(model, batch)

    def forward(batch: WindowBatch) -> None:
        replica = scanner.replicas.get()
        run(replica, batch)
        scanner.replicas.put(replica)

    def plain_by_batch(some: list[WindowBatch]) -> None:
        list(scanner.threads.map(forward, some))

    turn = max(TURN_TOKENS // scanner.batch_tokens, 1)
    for number, first in enumerate(range(0, len(batches), turn)):
        some = batches[first : first + turn]
        turns: list[tuple[str, Callable[[], Any]]] = [
            ("plain", partial(plain, some)),
            ("plain_by_batch", partial(plain_by_batch, some)),
            ("scan", partial(scanner.run, some)),
        ]
        for name, do in turns[number % 3 :] + turns[: number % 3]:
            began = time.process_time()
            getattr(found, name).append(_seconds(model, do))
            found.cpu[name] += time.process_time() - began


def _encoder_matrices(model: LoadedModel, scanner: Scanner) -> list[tuple[str, torch.Tensor]]:
    """For each dictionary its hook point and a matrix of its encoder's shape."""
    return [
        (
            hook_point,
            torch.randn(model.width(hook_point), part.source.n_units).to(model.device, model.dtype),
        )
        for part in scanner.sources
        if part.source.kind != "neuron"
        for hook_point in [part.source.hook_point]
    ]


def _finish(scanner: Scanner) -> None:
    assert scanner.atlas is not None
    layout = scanner.atlas.layout()
    for part in scanner.sources:
        for _ in finish_atlas(part, layout, scanner.threads, scanner.n_threads):
            pass


@contextmanager
def staged(found: Timings) -> Iterator[None]:
    """Adds up the processor seconds of the scan's stages."""
    stages: list[tuple[Any, str, str]] = [
        (SaeSource, "_encode", "encoders"),
        (scan, "_update", "moments and lists"),
        (SourceSpool, "add", "atlas"),
    ]
    with ExitStack() as stack:
        for owner, name, stage in stages:
            timed = _timed(getattr(owner, name), stage, found)
            stack.enter_context(mock.patch.object(owner, name, timed))
        yield


def _timed(do: Callable[..., Any], stage: str, found: Timings) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        began = time.thread_time()
        try:
            return do(*args, **kwargs)
        finally:
            found.stages[stage] += time.thread_time() - began  # of all threads together

    return call


def _seconds(model: LoadedModel, do: Callable[[], Any]) -> float:
    """Until the device is done, too."""
    began = time.perf_counter()
    do()
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter() - began


@dataclass(frozen=True)
class Asked:
    """What a table measures."""

    models: Sequence[str] = ("demo",)
    contexts: Sequence[int] = (128,)
    readings: Sequence[str] = READINGS
    n_tokens: int = 262_144
    top_k: int = 20
    device: str = "auto"


def table(asked: Asked) -> Iterator[str]:
    """Markdown, a line for each model, context and choice of sources, as they are measured."""
    yield f"{torch.get_num_threads()} threads, {asked.n_tokens:,} tokens, top {asked.top_k}"
    yield ""
    yield "| model | context | read | forward s | scan s | ratio | of turns | of cpu | stages |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name in asked.models:
        with open_model(name) as subject:
            for context in asked.contexts:
                for reading in asked.readings:
                    yield _line(subject, context, reading, asked)


def _line(subject: Subject, context: int, reading: str, asked: Asked) -> str:
    saes = {"neurons": (), "sae": subject.saes[:1], "all": subject.saes}[reading]
    found = measure(
        str(subject.directory),
        asked.n_tokens,
        context,
        asked.top_k,
        saes,
        has_neurons=reading != "sae",
        device=asked.device,
    )
    of_cpu = found.cpu["plain_by_batch"]
    stages = ", ".join(f"{name} {took / of_cpu:.3f}" for name, took in found.stages.items())
    forward, ours = sum(found.fastest_plain), sum(found.scan)
    return (
        f"| {subject.name} | {context} | {reading} | {forward:.2f} | {ours:.2f} "
        f"| {found.ratio:.3f} | {found.median_ratio:.3f} | {found.cpu_ratio:.3f} | {stages} |"
    )


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["demo"], help=f"demo, {GPT2_SMALL} or a path")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tokens", type=int, default=262_144)
    parser.add_argument("--context", type=int, nargs="+", default=[128])
    parser.add_argument("--top-k", type=int, default=20)
    parser.add_argument("--read", nargs="+", choices=READINGS, default=list(READINGS))
    given = parser.parse_args()
    asked = Asked(given.models, given.context, given.read, given.tokens, given.top_k, given.device)
    for line in table(asked):
        print(line, flush=True)


if __name__ == "__main__":
    main()
