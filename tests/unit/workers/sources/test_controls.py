"""Control models keep each tensor's scale, and nothing else."""

import torch
from torch import nn

from workers.sources.controls import control_hash, redraw_weights


def some_model() -> nn.Module:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(64, 128), nn.LayerNorm(128), nn.Linear(128, 64, bias=False))
    with torch.no_grad():
        model[0].weight.mul_(5).add_(2)
    return model


def test_every_tensor_is_drawn_anew_at_its_own_scale() -> None:
    old, new = some_model().requires_grad_(False), some_model().requires_grad_(False)
    redraw_weights(new)
    for before, after in zip(old.parameters(), new.parameters(), strict=True):
        assert before.std() == 0 or not torch.equal(before, after)
        assert torch.isclose(before.mean(), after.mean(), atol=0.1 + 0.1 * float(before.std()))
        assert torch.isclose(before.std(), after.std(), rtol=0.3, atol=1e-6)
    product = (old[0].weight * new[0].weight).mean() - old[0].weight.mean() * new[0].weight.mean()
    assert abs(product / old[0].weight.var()) < 0.05


def test_every_process_draws_the_same_whatever_was_drawn_before() -> None:
    one, other = some_model(), some_model()
    redraw_weights(one)
    torch.rand(100)
    redraw_weights(other)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_tied_weights_stay_tied() -> None:
    model = nn.ModuleDict({"a": nn.Linear(8, 8), "b": nn.Linear(8, 8)})
    model["b"].weight = model["a"].weight
    redraw_weights(model)
    assert model["b"].weight is model["a"].weight


def test_a_control_is_known_by_another_hash() -> None:
    assert control_hash("a", "random-weights") != control_hash("b", "random-weights")
    assert control_hash("a", "random-weights") != "a"
