"""The n-gram baselines are probability distributions and count what they say they count."""

import numpy as np
import pytest

from demo import ngrams
from demo.overlap import repeated_share

N_TOKENS = 5


@pytest.fixture
def stream(monkeypatch) -> np.ndarray:
    monkeypatch.setattr(ngrams, "VOCABULARY_SIZE", N_TOKENS)
    return np.random.default_rng(0).integers(0, N_TOKENS, 200)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("context", [[0, 1], [4, 4]])
def test_probabilities_of_all_next_tokens_sum_to_one(stream, order, context) -> None:
    model = ngrams.fit(stream, order)
    tails = (np.array([*context, token])[3 - order :] for token in range(N_TOKENS))
    found = [ngrams.probabilities(model, tail)[-1] for tail in tails]
    assert sum(found) == pytest.approx(1.0)
    assert min(found) > 0


def test_unseen_context_falls_back_to_the_lower_order(monkeypatch) -> None:
    monkeypatch.setattr(ngrams, "VOCABULARY_SIZE", N_TOKENS)
    train = np.array([0, 1, 0, 1, 2, 0, 1])
    bigram = ngrams.fit(train, 2)
    after_unseen = ngrams.probabilities(bigram, np.array([4, 1]))
    lower = ngrams.probabilities(bigram[:1], np.array([1]))
    assert after_unseen == pytest.approx(lower)


def test_a_regular_stream_is_predicted_better_with_more_context() -> None:
    train, held_out = np.tile([1, 2, 1, 3], 200), np.tile([1, 2, 1, 3], 20)
    losses = [ngrams.loss(train, held_out, order) for order in (1, 2, 3)]
    assert losses == sorted(losses, reverse=True)


def test_all_orders_are_measured_on_the_same_tokens() -> None:
    held_out = np.array([1, 2, 3, 4, 5, 6])
    counted = [
        len(ngrams.probabilities(ngrams.fit(held_out, n), held_out[3 - n :])) for n in (1, 2, 3)
    ]
    assert counted == [4, 4, 4]


def test_repeated_share_counts_every_token_of_a_repeated_run() -> None:
    train = np.arange(100)
    held_out = np.concatenate([np.arange(200, 210), np.arange(40, 50), np.arange(300, 320)])
    assert repeated_share(train, held_out, length=8) == pytest.approx(10 / 40)
