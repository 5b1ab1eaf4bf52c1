"""The logit lens against loops that follow its definition."""

import pytest
import torch

from workers.kernels import logit_lens as module
from workers.kernels.logit_lens import logit_lens


def naive(
    direction: list[float], gain: list[float] | None, W_U: list[list[float]], is_centred: bool
) -> list[float]:
    """Centred over the vocabulary: every token's logit for a direction."""
    d = len(direction)
    mean = sum(direction) / d if is_centred else 0.0
    x = [(value - mean) * (gain[i] if gain else 1.0) for i, value in enumerate(direction)]
    logits = [sum(x[i] * W_U[i][token] for i in range(d)) for token in range(len(W_U[0]))]
    return [logit - sum(logits) / len(logits) for logit in logits]


@pytest.mark.parametrize("is_centred", [True, False])
@pytest.mark.parametrize("has_gain", [True, False])
@pytest.mark.parametrize("max_logits", [1, 100, 1 << 24])
def test_values_and_tokens_are_those_of_the_definition(
    is_centred: bool, has_gain: bool, max_logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_LOGITS", max_logits)
    torch.manual_seed(0)
    directions, W_U = torch.randn(7, 6), torch.randn(6, 23)
    gain = torch.rand(6) + 0.5 if has_gain else None
    lens = logit_lens(directions, gain, W_U, is_centred=is_centred, k=4)
    for unit in range(7):
        logits = naive(
            directions[unit].tolist(),
            None if gain is None else gain.tolist(),
            W_U.tolist(),
            is_centred,
        )
        order = sorted(range(23), key=lambda token: (-logits[token], token))
        assert lens.promoted_ids[unit].tolist() == order[:4]
        assert lens.suppressed_ids[unit].tolist() == order[::-1][:4]
        assert lens.promoted_values[unit].tolist() == pytest.approx(
            [logits[token] for token in order[:4]], abs=1e-5
        )
        assert lens.suppressed_values[unit].tolist() == pytest.approx(
            [logits[token] for token in order[::-1][:4]], abs=1e-5
        )


def test_ties_go_to_the_lower_token_id() -> None:
    W_U = torch.zeros(2, 50)
    W_U[0, 30] = W_U[0, 7] = W_U[0, 19] = 1.0
    lens = logit_lens(torch.tensor([[1.0, 0.0]]), None, W_U, is_centred=False, k=5)
    assert lens.promoted_ids.tolist() == [[7, 19, 30, 0, 1]]
    assert lens.suppressed_ids.tolist() == [[0, 1, 2, 3, 4]]


def test_a_direction_of_zero_moves_nothing() -> None:
    lens = logit_lens(torch.zeros(1, 3), None, torch.randn(3, 9), is_centred=True, k=3)
    assert lens.promoted_values.tolist() == [[0.0, 0.0, 0.0]]
    assert lens.promoted_ids.tolist() == [[0, 1, 2]]


def test_a_constant_direction_is_nothing_to_a_layer_norm() -> None:
    W_U = torch.randn(4, 9)
    lens = logit_lens(torch.full((1, 4), 2.0), None, W_U, is_centred=True, k=2)
    assert lens.promoted_values.abs().max() < 1e-6


def test_what_moves_all_tokens_alike_is_not_seen() -> None:
    torch.manual_seed(1)
    direction, W_U = torch.randn(1, 4), torch.randn(4, 9)
    shifted = W_U + torch.randn(4, 1)
    first = logit_lens(direction, None, W_U, is_centred=False, k=3)
    second = logit_lens(direction, None, shifted, is_centred=False, k=3)
    assert torch.equal(first.promoted_ids, second.promoted_ids)
    torch.testing.assert_close(first.promoted_values, second.promoted_values)


def test_a_vocabulary_smaller_than_k_is_listed_in_full() -> None:
    lens = logit_lens(torch.randn(2, 3), None, torch.randn(3, 4), is_centred=False, k=10)
    assert lens.promoted_ids.shape == (2, 4)
    assert sorted(lens.promoted_ids[0].tolist()) == [0, 1, 2, 3]


def test_no_units_give_no_rows() -> None:
    lens = logit_lens(torch.zeros(0, 3), None, torch.randn(3, 4), is_centred=False, k=2)
    assert lens.promoted_ids.shape == (0, 2)
