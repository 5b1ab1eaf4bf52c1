"""What one read gives of each window equals loops; Triton's kernel equals the PyTorch twin."""

import importlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests import naive_scan
from tests.naive_scan import Window
from workers.kernels import triton_stats, window_stats
from workers.kernels.window_stats import WindowStats

needs_triton = pytest.mark.skipif(
    not triton_stats.is_available(), reason="Triton comes with PyTorch's CUDA builds only"
)


def given(n_windows: int, n_pos: int, n_units: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(n_pos)
    x = torch.randn((n_windows, n_pos, n_units), generator=random)
    x[torch.rand(x.shape, generator=random) < 0.3] = 0
    is_counted = torch.rand((n_windows, n_pos), generator=random) < 0.8
    is_counted[0] = False
    x[~is_counted] = torch.nan  # what stands where nothing counts is of no use
    return x, is_counted


def test_each_window_and_unit_equals_loops() -> None:
    x, is_counted = given(4, 7, 3)
    found = window_stats.read(x, is_counted, int(is_counted.sum()))
    assert found.first_bad == -1
    for w in range(4):
        window = [Window(w, x[w].numpy(), is_counted[w].numpy())]
        for unit in range(3):
            wanted = naive_scan.moments(window, unit)
            assert int(found.n_active[w, unit]) == wanted.n_active
            assert float(found.highs[w, unit]) == wanted.max
            assert float(found.lows[w, unit]) == wanted.min
            assert np.allclose(found.sums[:, w, unit], wanted.sums, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def device() -> Iterator[torch.device]:
    """A GPU; where there is none the CPU, with Triton's interpreter."""
    if torch.cuda.is_available():
        yield torch.device("cuda")
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        importlib.reload(importlib.import_module("workers.kernels.triton_kernel"))
        yield torch.device("cpu")


def on(device: torch.device, x: torch.Tensor, is_counted: torch.Tensor) -> WindowStats:
    return triton_stats.read(x.to(device), is_counted.to(device), int(is_counted.sum()))


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 16, 128), (2, 37, 300), (2, 1, 1)])
def test_triton_equals_the_twin(
    device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int]
) -> None:
    x, is_counted = given(*shape)
    x = x.to(dtype)
    ours, twin = on(device, x, is_counted), window_stats.read(x, is_counted, 0)
    for name in ("n_active", "highs", "lows", "is_bad"):
        assert torch.equal(getattr(ours, name).cpu(), getattr(twin, name)), name
    torch.testing.assert_close(ours.sums.cpu(), twin.sums, rtol=1e-5, atol=1e-4)


@needs_triton
def test_triton_reads_views_of_any_stride(device: torch.device) -> None:
    x, is_counted = given(2, 10, 40)
    ours = on(device, x.transpose(1, 2).contiguous().transpose(1, 2), is_counted)
    assert torch.equal(ours.highs.cpu(), window_stats.read(x, is_counted, 0).highs)


@pytest.mark.parametrize(
    "read", [window_stats.read, pytest.param(triton_stats.read, marks=needs_triton)]
)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_counted_nan_or_infinity_marks_its_window(read, bad: float, request) -> None:
    where = torch.device("cpu")
    if read is triton_stats.read:
        where = request.getfixturevalue("device")
    x, is_counted = given(3, 9, 200)
    position = int(is_counted[2].nonzero()[0, 0])
    x[2, position, 170] = bad
    assert read(x.to(where), is_counted.to(where), 0).first_bad == 2
    is_counted[2, position] = False
    assert read(x.to(where), is_counted.to(where), 0).first_bad == -1
