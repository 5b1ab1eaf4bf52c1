"""A scanner's results do not depend on threads, stops, parts or memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny_saes import make_sae
from workers import memory_plan
from workers.atlas import AtlasBuilder
from workers.kernels import extremes
from workers.scan import Scanner, open_scanner
from workers.sources.language_models import LoadedModel
from workers.sources.stored_windows import WindowBatch, batches_of
from workers.sources.unit_sources import UnitSource, neuron_source, sae_source

CONTEXT, N_WINDOWS, BATCH_TOKENS = 12, 40, 60


def row(index: int) -> tuple[Any, ...]:
    random = np.random.default_rng(index)
    ids = random.integers(0, 372, random.integers(2, CONTEXT + 1))
    return index, ids.astype("<u4").tobytes(), (0,), index % 7 == 3


def batches(n_tokens: int = BATCH_TOKENS) -> list[WindowBatch]:
    return list(batches_of([row(index) for index in range(N_WINDOWS)], n_tokens))


@pytest.fixture
def sources(model: LoadedModel, tmp_path: Path) -> list[UnitSource]:
    return [neuron_source(model, 0), sae_source(str(make_sae(tmp_path / "latents")), model)]


@contextmanager
def opened(
    model: LoadedModel, sources: list[UnitSource], scratch: Path, n_threads: int = 1
) -> Iterator[Scanner]:
    given = {"top_k": 3, "context": CONTEXT, "scratch": scratch, "seed": 5}
    with open_scanner(model, sources, **given, n_threads=n_threads) as scanner:
        yield scanner


def lists_of(scanner: Scanner) -> list[torch.Tensor]:
    found = []
    for part in scanner.sources:
        for state in part.lists.values():
            ordered = extremes.ordered(state)
            found += [ordered.windows, ordered.values, ordered.positions]
    return found


def assert_same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    """Batches of other shapes give activations that differ in the last bits."""
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.fixture
def wanted(model: LoadedModel, sources: list[UnitSource], tmp_path: Path) -> list[torch.Tensor]:
    with opened(model, sources, tmp_path) as scanner:
        assert scanner.run(batches()) == N_WINDOWS
        return lists_of(scanner)


def test_threads_change_nothing(
    model: LoadedModel, sources: list[UnitSource], tmp_path: Path, wanted: list[torch.Tensor]
) -> None:
    with opened(model, sources, tmp_path, n_threads=3) as scanner:
        scanner.run(batches())
        assert_same(lists_of(scanner), wanted)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_run_that_is_stopped_has_added_whole_batches_from_the_first_on(
    model: LoadedModel,
    sources: list[UnitSource],
    tmp_path: Path,
    wanted: list[torch.Tensor],
    n_threads: int,
) -> None:
    given, reported, asked = batches(), [], 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 4

    with opened(model, sources, tmp_path, n_threads) as scanner:
        n_added = scanner.run(given, reported.append, should_stop)
        assert n_added == sum(len(batch.windows) for batch in given[:4])
        n_counted = sum(int(batch.is_counted.sum()) for batch in given[:4])
        assert sum(reported) == n_counted
        assert {part.moments.n_tokens for part in scanner.sources} == {n_counted}
        scanner.run(given[4:])
        assert_same(lists_of(scanner), wanted)


def test_a_new_part_has_moments_of_its_own_and_lists_go_on(
    model: LoadedModel, sources: list[UnitSource], tmp_path: Path, wanted: list[torch.Tensor]
) -> None:
    given = batches()
    with opened(model, sources, tmp_path) as scanner:
        scanner.run(given[:2])
        scanner.begin_part()
        scanner.run(given[2:])
        n_counted = sum(int(batch.is_counted.sum()) for batch in given[2:])
        assert scanner.sources[0].moments.n_tokens == n_counted
        assert_same(lists_of(scanner), wanted)


def test_the_atlas_is_there_only_while_it_is_collected(
    model: LoadedModel, sources: list[UnitSource], tmp_path: Path
) -> None:
    sampled = np.array([2, 5, 11])
    builder = AtlasBuilder(0, sampled, sampled, N_WINDOWS)
    with opened(model, sources, tmp_path) as scanner:
        with scanner.collecting(builder):
            scanner.run(batches())
            layout = builder.layout()
            for part in scanner.sources:
                assert part.spool is not None
                found = part.spool.read(0, part.source.n_units)
                assert found.shape == (part.source.n_units, layout.n_positions)
                assert (found != 0).any()
        assert all(part.spool is None for part in scanner.sources)


def test_little_memory_makes_batches_smaller_and_changes_nothing(
    model: LoadedModel,
    sources: list[UnitSource],
    tmp_path: Path,
    wanted: list[torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = sum(memory_plan.state_bytes(source, 3, CONTEXT) for source in sources)
    batch = memory_plan.batch_bytes(model, sources, 3 * CONTEXT, CONTEXT)
    monkeypatch.setattr(memory_plan, "free_bytes", lambda _: int((state + batch) / 0.9 + 2))
    with opened(model, sources, tmp_path, n_threads=4) as scanner:
        assert scanner.n_threads == 1
        assert scanner.batch_tokens <= 3 * CONTEXT
        scanner.run(batches(scanner.batch_tokens))
        assert_same(lists_of(scanner), wanted)


def test_latents_read_in_blocks_are_those_read_at_once(
    model: LoadedModel,
    sources: list[UnitSource],
    tmp_path: Path,
    wanted: list[torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.scan.LEAST_UNITS", 7)
    monkeypatch.setattr("workers.scan.READ_BYTES", {"cpu": 1})
    with opened(model, sources, tmp_path) as scanner:
        scanner.run(batches())
        assert_same(lists_of(scanner), wanted)
        n_counted = sum(int(batch.is_counted.sum()) for batch in batches())
        assert [part.moments.n_tokens for part in scanner.sources] == [n_counted] * 2
