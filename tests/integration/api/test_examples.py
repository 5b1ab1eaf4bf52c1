"""Examples: the very activations of the very tokens, exact where it is promised."""

from typing import Any

import numpy as np
import pytest

from tests.integration.api.conftest import Get
from tests.integration.seed import (
    BOS,
    BOS_TEXT,
    DEAD,
    N_RANDOM,
    N_TOP,
    ON_EMOJI,
    WITHOUT_EXAMPLES,
    Seeded,
)

pytestmark = pytest.mark.both_servers
KINDS = ("top", "bottom", "interval", "random", "active")


def _examples(get: Get, source: str, index: int, **parameters: Any) -> list[Any]:
    path = f"/models/tiny-a/sources/{source}/units/{index}/examples"
    answer = get(path, **parameters)
    assert answer["next"] is None
    return answer["items"]


def _run(seeded: Seeded, source: str, corpus: str, window: int, index: int) -> np.ndarray:
    """The unit's activations at the counted positions of a window."""
    before = sum(len(each.token_ids) - 1 for each in seeded.corpora[corpus].windows[:window])
    n = len(seeded.corpora[corpus].windows[window].token_ids) - 1
    return seeded.activations["tiny-a", source, corpus][before : before + n, index]


@pytest.mark.parametrize("source", ["mlp-0", "sae-1"])
@pytest.mark.parametrize("corpus", ["code", "other-text"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_example_is_what_the_unit_did_on_the_window(
    seeded: Seeded, get: Get, source: str, corpus: str, kind: str
) -> None:
    n_seen = 0
    for index in range(12):
        for each in _examples(get, source, index, kind=kind, corpus=corpus):
            window = seeded.corpora[corpus].windows[each["window"]]
            exact = _run(seeded, source, corpus, each["window"], index)
            shown = each["activations"]
            assert each["token_ids"] == window.token_ids
            assert shown[0] is None
            step = (exact.max() - min(exact.min(), 0)) / 250
            np.testing.assert_allclose(shown[1:], exact, atol=step)
            assert (np.sign(shown[1:]) == np.sign(exact)).all()
            assert np.float32(each["max_activation"]) == exact.max()
            assert each["max_position"] == exact.argmax() + 1
            assert shown[each["max_position"]] == each["max_activation"]
            assert np.float32(each["activation"]) == exact[each["position"] - 1]
            n_seen += 1
    assert n_seen or (source, kind) in (("sae-1", "bottom"), ("mlp-0", "active"))


def test_tokens_join_to_the_document_whatever_is_in_it(seeded: Seeded, get: Get) -> None:
    for corpus in ("code", "other-text"):
        for each in _examples(get, "mlp-0", 1, kind="top", corpus=corpus):
            number = int(each["document"].rsplit("/")[-1].removesuffix(".py"))
            document = seeded.corpora[corpus].documents[number]
            text = each["text"]
            assert text == document[each["char_start"] :][: len(text)]
            assert each["tokens"][0] == BOS_TEXT
            assert each["token_ids"][0] == BOS
            assert "".join(each["tokens"][1:]) == text
            assert len(each["tokens"]) == len(each["token_ids"]) == len(each["activations"])


def test_an_emoji_of_four_tokens_is_whole_in_the_first(get: Get) -> None:
    found = [
        each["tokens"][pos : pos + 4]
        for each in _examples(get, "mlp-0", ON_EMOJI)
        for pos, token in enumerate(each["tokens"])
        if "🙂" in token
    ]
    assert found
    assert all(tokens == ["🙂", "", "", ""] for tokens in found)


def test_strongest_come_first_and_no_window_twice(seeded: Seeded, get: Get) -> None:
    for index in (1, 2, 7):
        found = _examples(get, "mlp-0", index)
        order = [(-each["max_activation"], each["window"]) for each in found]
        assert order == sorted(order)
        assert len({each["window"] for each in found}) == len(found) == N_TOP
        corpus = seeded.corpora["code"]
        best = sorted(
            (-_run(seeded, "mlp-0", "code", i, index).max(), i)
            for i, window in enumerate(corpus.windows)
            if not window.is_duplicate
        )[:N_TOP]
        assert [each["window"] for each in found] == [i for _, i in best]


def test_weakest_come_first_among_the_bottoms(get: Get) -> None:
    found = [each["activation"] for each in _examples(get, "mlp-0", 7, kind="bottom")]
    assert found == sorted(found)
    assert found[0] < 0


def test_a_sampled_example_names_the_band_that_it_is_of(get: Get) -> None:
    bands = get("/models/tiny-a/sources/mlp-0/units/7")["stats"][0]["intervals"]
    for kind in ("interval", "random"):
        found = _examples(get, "mlp-0", 7, kind=kind)
        assert len(found) == N_RANDOM
        for each in found:
            band = each["interval"]
            assert band == bands[band["index"]]
            is_last = band is bands[-1] or band["index"] == len(bands) - 1
            assert band["low"] <= each["activation"] <= band["high"]
            assert is_last or each["activation"] < band["high"]
    assert all(each["interval"] is None for each in _examples(get, "mlp-0", 7))


def test_a_unit_without_examples_has_none_and_no_error(get: Get) -> None:
    for index in (DEAD, WITHOUT_EXAMPLES):
        for kind in KINDS:
            assert _examples(get, "sae-1", index, kind=kind) == []
    assert _examples(get, "sae-1", 7, kind="bottom") == []


def test_a_limit_takes_the_first(get: Get) -> None:
    whole = _examples(get, "mlp-0", 7)
    assert _examples(get, "mlp-0", 7, limit=3) == whole[:3]


def test_active_examples_are_kept_of_rare_latents_and_all_are_active(get: Get) -> None:
    shown = _examples(get, "sae-1", ON_EMOJI, kind="active")
    assert 0 < len(shown) <= N_RANDOM
    assert all(each["activation"] > 0 for each in shown)
    assert all(each["position"] == each["max_position"] for each in shown)
    assert _examples(get, "sae-1", 7, kind="active") == []
