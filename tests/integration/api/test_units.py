"""Units: one on its own, and listings that are sorted, filtered and walked, against NumPy."""

import itertools

import numpy as np
import pytest

from tests.integration.api.conftest import Get
from tests.integration.seed import ALWAYS, DEAD, ON_EMOJI, ON_SCRIPT, Seeded

pytestmark = pytest.mark.both_servers

SAE = "/models/tiny-a/sources/sae-1/units"
NEURONS = "/models/tiny-a/sources/mlp-0/units"


def test_a_unit_has_the_figures_of_its_activations(seeded: Seeded, get: Get) -> None:
    for index in range(12):
        unit = get(f"{NEURONS}/{index}")
        assert [stats["corpus"] for stats in unit["stats"]] == ["code", "other-text"]
        for stats in unit["stats"]:
            values = seeded.activations["tiny-a", "mlp-0", stats["corpus"]][:, index]
            assert stats["n_tokens"] == len(values)
            assert stats["n_active"] == (values > 0).sum()
            assert stats["density"] == (values > 0).mean()
            assert np.float32(stats["max"]) == values.max()
            assert np.float32(stats["min"]) == values.min()
            assert stats["mean"] == pytest.approx(values.astype(np.float64).mean())
            assert stats["std"] == pytest.approx(values.astype(np.float64).std())


def test_histogram_and_intervals_account_for_every_position(seeded: Seeded, get: Get) -> None:
    for index in range(20):
        for stats in get(f"{SAE}/{index}")["stats"]:
            histogram, bands = stats["histogram"], stats["intervals"]
            assert len(histogram["edges"]) == len(histogram["counts"]) + 1
            n_binned = sum(histogram["counts"]) + histogram["n_zero"]
            assert n_binned == histogram["n_positions"] == stats["n_tokens"]
            assert sum(band["share_of_positions"] for band in bands) == pytest.approx(1)
            mass = sum(band["share_of_mass"] for band in bands)
            assert mass == pytest.approx(1) or (index == DEAD and mass == 0)
            assert [band["index"] for band in bands] == list(range(len(bands)))
            for low, high in itertools.pairwise(bands):
                assert low["high"] == high["low"]


def test_shares_of_a_sample_have_their_errors(get: Get) -> None:
    whole, [sampled] = (
        get(f"/models/{model}/sources/mlp-0/units/7")["stats"] for model in ("tiny-a", "tiny-b")
    )
    for band in sampled["intervals"]:
        assert band["share_of_positions_error"] == pytest.approx(0.004 + 0.001 * band["index"])
        assert band["share_of_mass_error"] == pytest.approx(0.02 + 0.001 * band["index"])
    for band in whole[0]["intervals"]:
        assert band["share_of_positions_error"] is band["share_of_mass_error"] is None
    [example, *_] = get("/models/tiny-b/sources/mlp-0/units/7/examples", kind="interval")["items"]
    assert example["interval"] == sampled["intervals"][example["interval"]["index"]]


def test_a_sample_says_how_many_windows_it_has(seeded: Seeded, get: Get) -> None:
    n_windows = len(seeded.corpora["code"].windows)
    for model, n in (("tiny-a", n_windows), ("tiny-b", (n_windows + 1) // 2)):
        stats = get(f"/models/{model}/sources/mlp-0/units/7")["stats"][0]
        assert stats["histogram"]["n_windows"] == n


def test_a_unit_says_where_it_is_and_what_is_beside_it(get: Get) -> None:
    first, middle, last = (get(f"{SAE}/{index}") for index in (0, 7, 19))
    assert first["links"]["previous"] is None
    assert last["links"]["next"] is None
    assert middle["links"] == {
        "self": "/api/v1/models/tiny-a/sources/sae-1/units/7",
        "page": "/tiny-a/sae-1/7",
        "examples": "/api/v1/models/tiny-a/sources/sae-1/units/7/examples",
        "tokens": "/api/v1/models/tiny-a/sources/sae-1/units/7/tokens",
        "similar": "/api/v1/models/tiny-a/sources/sae-1/units/7/similar",
        "explanations": "/api/v1/models/tiny-a/sources/sae-1/units/7/explanations",
        "hypotheses": "/api/v1/models/tiny-a/sources/sae-1/units/7/hypotheses",
        "previous": "/tiny-a/sae-1/6",
        "next": "/tiny-a/sae-1/8",
        "source": "/tiny-a/sae-1",
    }
    assert (middle["kind"], middle["layer"]) == ("sae_latent", 1)
    assert middle["hook_point"] == "blocks.1.hook_resid_post"
    assert middle["labels"] == []


def test_the_logit_lens_is_ordered_from_the_strongest(get: Get) -> None:
    lens = get(f"{SAE}/7")["logit_lens"]
    promoted = [each["value"] for each in lens["positive"]]
    suppressed = [each["value"] for each in lens["negative"]]
    assert len(promoted) == len(suppressed) == 10
    assert promoted == sorted(promoted, reverse=True)
    assert suppressed == sorted(suppressed)
    assert promoted[0] > suppressed[0]


def test_a_dead_unit_is_shown_as_one(get: Get) -> None:
    stats = get(f"{SAE}/{DEAD}")["stats"][0]
    assert (stats["n_active"], stats["density"], stats["max"]) == (0, 0, 0)
    assert stats["skewness"] is None
    assert get(f"{SAE}/{DEAD}/tokens")["items"] == []


def test_tokens_carry_shares_of_the_activation(seeded: Seeded, get: Get) -> None:
    (only,) = get(f"{NEURONS}/{ON_SCRIPT}/tokens")["items"]
    assert (only["token"], only["sum"], only["share"]) == ("</script>", 7.25, 1)
    values = seeded.activations["tiny-a", "mlp-0", "other-text"][:, ALWAYS]
    ids = seeded.corpora["other-text"].counted_ids
    tokens = get(f"{NEURONS}/{ALWAYS}/tokens", corpus="other-text")["items"]
    assert len(tokens) == 10
    for each in tokens:
        of_token = values[ids == each["token_id"]]
        assert each["n"] == len(of_token)
        assert each["n_active"] == (of_token > 0).sum()
        assert each["mean"] == pytest.approx(of_token.mean(), rel=1e-5)
        assert each["share"] == pytest.approx(of_token.sum() / values.sum(), rel=1e-5)
    assert [each["sum"] for each in tokens] == sorted((t["sum"] for t in tokens), reverse=True)


@pytest.mark.parametrize("sort", ["index", "name", "density", "max", "mean", "std"])
@pytest.mark.parametrize("order", ["asc", "desc", None])
def test_a_walk_meets_every_unit_once_in_order(walk: Get, sort: str, order: str | None) -> None:
    asked = {"sort": sort} if order is None else {"sort": sort, "order": order}
    found = walk(SAE, 3, **asked)
    assert found == walk(SAE, 20, **asked) == walk(SAE, 500, **asked)
    assert sorted(each["index"] for each in found) == list(range(20))
    by = "index" if sort == "name" else sort
    is_down = order == "desc" or (order is None and by != "index")
    keys = [(each[by], each["index"]) for each in found]
    assert keys == sorted(keys, reverse=is_down)


@pytest.mark.parametrize("corpus", ["code", "other-text"])
@pytest.mark.parametrize(("low", "high"), [(0.01, None), (None, 0.05), (0.02, 0.06), (0.9, 0.1)])
def test_filters_apply_before_the_limit(
    seeded: Seeded, walk: Get, corpus: str, low: float | None, high: float | None
) -> None:
    asked = {"min_density": low, "max_density": high, "corpus": corpus, "sort": "density"}
    asked = {name: value for name, value in asked.items() if value is not None}
    densities = (seeded.activations["tiny-a", "sae-1", corpus] > 0).mean(0)
    wanted = [i for i in range(20) if (low or 0) <= densities[i] <= (high or 1)]
    found = walk(SAE, 2, **asked)
    assert sorted(each["index"] for each in found) == wanted
    assert all(each["page"].endswith("?corpus=other-text") for each in found) or corpus == "code"


def test_the_dead_and_the_living_are_told_apart(walk: Get) -> None:
    assert [each["index"] for each in walk(SAE, 50, alive=False)] == [DEAD]
    assert DEAD not in [each["index"] for each in walk(SAE, 3, alive=True, sort="mean")]
    assert len(walk(SAE, 3, alive=True, sort="mean")) == 19


def test_q_finds_an_index_and_what_a_token_moves(walk: Get) -> None:
    by_token = {each["index"] for each in walk(NEURONS, 1, q="</script>", sort="max")}
    assert ON_SCRIPT in by_token
    lenses = walk(NEURONS, 50)
    for each in lenses:
        if "</script>" in each["promoted"] or each["top_token"] == "</script>":
            assert each["index"] in by_token
    assert 11 in [each["index"] for each in walk(NEURONS, 50, q="11")]
    assert walk(NEURONS, 50, q="99999999999999999999") == []
    assert walk(NEURONS, 50, q="no such token") == []


def test_a_row_names_the_token_that_carries_most(seeded: Seeded, walk: Get) -> None:
    rows = {each["index"]: each for each in walk(NEURONS, 50)}
    assert rows[ON_SCRIPT]["top_token"] == "</script>"
    assert rows[DEAD]["top_token"] is None
    assert len(rows[ON_EMOJI]["promoted"]) == 3
