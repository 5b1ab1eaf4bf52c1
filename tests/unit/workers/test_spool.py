"""The atlas's scratch gives back what went in, for dense and sparse sources, wherever it lies."""

from pathlib import Path

import numpy as np
import pytest
import torch

from workers.arena import ScratchArena
from workers.sinks.copying import StorageFull
from workers.spool import SourceSpool, open_spools

BOTH = pytest.mark.parametrize("memory_bytes", [1 << 40, 0], ids=["memory", "file"])


def batches(seed: int, n_units: int, density: float) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Activations of windows, and where they count."""
    random = torch.Generator().manual_seed(seed)
    made = []
    for n_windows in (2, 1, 3):
        x = torch.randn((n_windows, 4, n_units), generator=random)
        x[torch.rand(x.shape, generator=random) >= density] = 0
        made.append((x, torch.rand((n_windows, 4), generator=random) < 0.7))
    return made


def add_all(spool: SourceSpool, parts: list[tuple[torch.Tensor, torch.Tensor]]) -> np.ndarray:
    """All but each batch's second window, the batches out of order; what should come back."""
    taken = [torch.tensor([i for i in range(len(x)) if i != 1]) for x, _ in parts]
    wanted = [x[rows][n[rows]].T for (x, n), rows in zip(parts, taken, strict=True)]
    firsts = np.cumsum([0] + [part.shape[1] for part in wanted])
    for i in (2, 0, 1):
        spool.add(int(firsts[i]), *parts[i], taken[i])
    return torch.cat(wanted, dim=1).numpy()


@BOTH
@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_any_block_of_units_comes_back_whatever_the_order_of_arrival(
    tmp_path: Path, memory_bytes: int, is_sparse: bool, density: float
) -> None:
    arena = ScratchArena(tmp_path, memory_bytes)
    one, other = open_spools(arena, [(37, is_sparse), (3, is_sparse)], 14)
    whole = add_all(one, batches(0, 37, density))
    others = add_all(other, batches(1, 3, density))
    for first, last in ((0, 37), (2, 5), (16, 33), (36, 37), (3, 3)):
        assert np.array_equal(one.read(first, last), whole[first:last])
    assert np.array_equal(other.read(0, 3), others)
    arena.close()


@pytest.mark.parametrize("is_sparse", [False, True])
def test_units_that_come_in_blocks_are_put_together(tmp_path: Path, is_sparse: bool) -> None:
    arena = ScratchArena(tmp_path, 1 << 30)
    whole, blocks = open_spools(arena, [(37, is_sparse)] * 2, 14)
    parts = batches(0, 37, 0.3)
    wanted = add_all(whole, parts)
    at = 0
    for x, is_counted in parts:
        rows = torch.tensor([i for i in range(len(x)) if i != 1])
        for first in (20, 0):
            units = x[:, :, first : first + 20].contiguous()
            blocks.add(at, units, is_counted, rows, first)
        at += int(is_counted[rows].sum())
    for first, last in ((0, 37), (10, 30), (20, 21)):
        assert np.array_equal(blocks.read(first, last), wanted[first:last])


def test_a_sparse_source_takes_room_for_what_is_not_zero(tmp_path: Path) -> None:
    arena = ScratchArena(tmp_path, 1 << 30)
    (spool,) = open_spools(arena, [(100_000, True)], 10**9)
    x = torch.zeros((1, 4, 100_000))
    x[0, 2, 77] = 1
    spool.add(0, x, torch.ones((1, 4), dtype=torch.bool), torch.tensor([0]))
    assert arena.n_bytes == 12


def test_too_little_room_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers import arena

    usage = arena.shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(arena.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageFull, match=r"needs 4.0 GB .* 1.0 GB are free"):
        open_spools(ScratchArena(tmp_path, 0), [(1000, False), (10**9, True)], 10**6)
    open_spools(ScratchArena(tmp_path, 4 * 10**9), [(1000, False)], 10**6)
    open_spools(ScratchArena(tmp_path, 0), [(100, False)], 10**6)
