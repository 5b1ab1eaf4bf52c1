"""Encoders equal plain PyTorch bit for bit, ties, zeros, NaN and infinities included."""

import pytest
import torch

from workers.kernels import encoders

N_UNITS = 53


def given(seed: int = 0) -> tuple[torch.Tensor, ...]:
    """(h, bias, other): few distinct numbers, so that sums are often exactly 0, or tied."""
    random = torch.Generator().manual_seed(seed)
    h = torch.randint(-4, 5, (40, N_UNITS), generator=random) / 2
    h[20:] += torch.randn((20, N_UNITS), generator=random)
    return h, *(torch.randint(-2, 3, (N_UNITS,), generator=random) / 2 for _ in range(2))


def bad(h: torch.Tensor) -> torch.Tensor:
    h = h.clone()
    h[1, 3], h[2, 4], h[3, 5] = torch.nan, torch.inf, -torch.inf
    return h


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(), b.nan_to_num())


@pytest.mark.parametrize("spoil", [torch.clone, bad])
def test_relu_equals_its_definition(spoil) -> None:
    h, bias, _ = given()
    h = spoil(h)
    wanted = torch.relu(h + bias)
    encoders.relu(h, bias)
    assert same(h, wanted)


@pytest.mark.parametrize("spoil", [torch.clone, bad])
def test_jump_relu_equals_its_definition(spoil) -> None:
    h, bias, threshold = given()
    h = spoil(h)
    wanted = torch.relu(h + bias) * (h + bias > threshold)
    encoders.jump_relu(h, bias, threshold)
    assert same(h, wanted)


@pytest.mark.parametrize("spoil", [torch.clone, bad])
def test_gated_equals_its_definition(spoil) -> None:
    (h, bias, gate_bias), gate = given(), given(1)[0]
    h = spoil(h)
    wanted = (gate + gate_bias > 0) * torch.relu(h + bias)
    encoders.gated(h, bias, gate, gate_bias)
    assert same(h, wanted)


@pytest.mark.parametrize("k", [1, 3, 10, 30, N_UNITS])
@pytest.mark.parametrize("spoil", [torch.clone, bad])
def test_top_k_equals_a_sort_and_leaves_ties_and_nan_to_the_caller(spoil, k: int) -> None:
    h, bias, scale = given()
    h, scale = spoil(h), scale + 1.5
    before = (h + bias) * scale
    undecided = set(encoders.top_k(h, bias, scale, k).tolist())
    for i, row in enumerate(before):
        ordered = row.sort(descending=True).values
        is_tied = k < N_UNITS and bool(ordered[k - 1] == ordered[k]) and bool(ordered[k] > 0)
        assert (i in undecided) == (is_tied or not bool(row.isfinite().all()))
        wanted = row if i in undecided else torch.where(row >= ordered[k - 1], row, 0).relu()
        assert same(h[i], wanted)
    assert len(undecided) < len(h)


def test_the_kth_is_found_where_the_greatest_stand_together() -> None:
    """All in one line of sixteen, and more of them than lines."""
    h = torch.rand((3, 64), generator=torch.Generator().manual_seed(0))
    h[:, 16:32] += 10
    wanted = torch.zeros_like(h)
    top = h.topk(12)
    wanted.scatter_(1, top.indices, top.values)
    assert len(encoders.top_k(h, torch.zeros(64), torch.ones(64), 12)) == 0
    assert torch.equal(h, wanted)
