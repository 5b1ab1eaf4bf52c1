"""What a scan holds beyond the model and its batches, against the size of its results.

Two processes do the same forwards, as many batches in flight: one reads each hooked layer and each
encoder and keeps nothing, the other scans (no atlas: its scratch is bounded by what is free). The
difference of their peaks is what the scan takes; its results are moments and lists of every unit.

`python -m bench.memory`
"""

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from bench.models import GPT2_SMALL, open_model
from bench.scan import random_batches
from workers import scan
from workers.kernels import extremes, moments
from workers.sources.language_models import load_model
from workers.sources.unit_sources import UnitSource, neuron_source, sae_source

CONTEXT, TOP_K = 128, 20
N_TOKENS = 32_768


@dataclass(frozen=True)
class Figures:
    """Bytes: the peak of forwards alone, that of the scan, and its results."""

    forward: int
    scan: int
    state: int

    @property
    def ratio(self) -> float:
        """What the scan takes beyond model and batches ÷ its results."""
        return (self.scan - self.forward) / self.state


def measure(directory: Path, saes: Sequence[str], n_tokens: int = N_TOKENS) -> Figures:
    """Peaks of two processes of their own."""
    forward, _ = _child("forward", directory, saes, n_tokens)
    scan, state = _child("scan", directory, saes, n_tokens)
    return Figures(forward, scan, state)


def _child(what: str, directory: Path, saes: Sequence[str], n_tokens: int) -> tuple[int, int]:
    command = [sys.executable, "-m", "bench.memory", "--child", what, "--tokens", str(n_tokens)]
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, str(directory), *saes], env=env, capture_output=True, text=True, check=True
    )
    peak, state = map(int, done.stdout.split()[-2:])
    return peak, state


def _run_child(what: str, directory: str, saes: Sequence[str], n_tokens: int) -> None:
    model = load_model(directory)
    layers = [neuron_source(model, layer) for layer in range(model.n_layers)]
    sources: list[UnitSource] = [*layers, *(sae_source(spec, model) for spec in saes)]
    settings = {"top_k": TOP_K, "context": CONTEXT, "scratch": Path(os.devnull)}
    batches = random_batches(model, n_tokens, CONTEXT)
    with ExitStack() as stack:
        if what == "forward":
            stack.enter_context(mock.patch.object(scan, "_start", _start_nothing))
            stack.enter_context(mock.patch.object(scan._Some, "add", lambda *_: -1))
        opened = scan.open_scanner(model, sources, **settings)  # type: ignore[arg-type]
        scanner = stack.enter_context(opened)
        scanner.run(batches)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(peak, scanner.memory.state_bytes)


def _start_nothing(source: UnitSource, *_: object) -> scan.SourceScan:
    """A source that is read, of which nothing is kept."""
    top = extremes.empty(0, 1, CONTEXT, 1)
    return scan.SourceScan(source, moments.empty(0), top, None, None)


def table(n_tokens: int = N_TOKENS) -> list[str]:
    """Markdown, a line a model."""
    lines = [
        "| model | forwards alone | scan | results | beyond ÷ results |",
        "|---|---|---|---|---|",
    ]
    for name in ("demo", GPT2_SMALL):
        with open_model(name) as subject:
            found = measure(subject.directory, subject.saes, n_tokens)
        sizes = (f"{size / 1e6:.0f} MB" for size in (found.forward, found.scan, found.state))
        lines.append(f"| {name} | {' | '.join(sizes)} | {found.ratio:.2f} |")
    return lines


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=N_TOKENS)
    parser.add_argument("--child", choices=["forward", "scan"], help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _run_child(given.child, given.paths[0], given.paths[1:], given.tokens)
    else:
        print(*table(given.tokens), sep="\n")


if __name__ == "__main__":
    main()
