"""Simple search: addresses, tokens that carry, tokens that are promoted."""

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.integration.api.conftest import Get
from tests.integration.seed import ON_SCRIPT, Seeded

pytestmark = pytest.mark.both_servers
PATH = "/models/tiny-a/search"


@pytest.mark.parametrize(
    "q",
    ["mlp-0/4", " mlp-0/4 ", "tiny-a/mlp-0/4", "/tiny-a/mlp-0/4", "mlp-0 4", "mlp-0:4", "mlp-0 #4"],
)
def test_a_unit_is_found_by_its_address(get: Get, q: str) -> None:
    (hit,) = get(PATH, q=q)["items"]
    assert (hit["model"], hit["source"], hit["index"]) == ("tiny-a", "mlp-0", 4)
    assert hit["unit"]["page"] == "/tiny-a/mlp-0/4"


@pytest.mark.parametrize("q", ["mlp-0/12", "mlp-7/0", "tiny-b/mlp-0/4", "mlp-0/9999999999"])
def test_an_address_of_nothing_here_finds_nothing(get: Get, q: str) -> None:
    assert get(PATH, q=q)["items"] == []


def test_words_that_no_label_has_find_nothing(get: Get) -> None:
    assert get(PATH, q="the French neuron") == {"items": [], "next": None}


@pytest.mark.parametrize("q", ["", "(", "\0", "'"])
def test_what_holds_no_word_is_refused_with_what_to_do(client: TestClient, q: str) -> None:
    answer = client.get(f"/api/v1{PATH}", params={"q": q})
    assert answer.status_code == 422
    assert "token=" in answer.json()["detail"]


@pytest.mark.parametrize("limit", [1, 2, 500])
def test_a_token_finds_the_units_that_it_carries_by_its_share(
    seeded: Seeded, walk: Get, get: Get, limit: int
) -> None:
    hits = walk(PATH, limit, token="return")
    token_id = seeded.tokenizer.ids[b"return"]
    wanted = {}
    for source in seeded.sources["tiny-a"]:
        values = np.maximum(seeded.activations["tiny-a", source, "code"].astype(np.float64), 0)
        ids = seeded.corpora["code"].counted_ids
        for index in range(values.shape[1]):
            sums = np.bincount(ids, weights=values[:, index])
            if token_id in np.argsort(-sums, kind="stable")[:10] and sums[token_id] > 0:
                wanted[source, index] = sums[token_id] / values[:, index].sum()
    assert {(hit["source"], hit["index"]) for hit in hits} == set(wanted)
    assert len(hits) == len(wanted)
    for hit in hits:
        assert hit["share"] == pytest.approx(wanted[hit["source"], hit["index"]], rel=1e-5)
        assert hit["tokens"] == ["return"]
    assert [hit["share"] for hit in hits] == sorted((h["share"] for h in hits), reverse=True)


def test_a_word_means_its_token_after_a_space_too(get: Get) -> None:
    assert {t for hit in get(PATH, token="value")["items"] for t in hit["tokens"]} >= {" value"}
    alone = get(PATH, token=" value")["items"]
    assert all(hit["tokens"] == [" value"] for hit in alone)


@pytest.mark.parametrize("limit", [1, 500])
def test_a_promoted_token_finds_units_by_its_rank_in_them(walk: Get, get: Get, limit: int) -> None:
    hits = walk(PATH, limit, logit="return")
    wanted = {}
    for source, n in (("mlp-0", 12), ("mlp-1", 12), ("sae-1", 20)):
        for index in range(n):
            unit = get(f"/models/tiny-a/sources/{source}/units/{index}")
            for rank, each in enumerate(unit["logit_lens"]["positive"]):
                if each["token"] == "return":
                    wanted[source, index] = (rank + 1, each["value"])
    assert wanted
    found = {(hit["source"], hit["index"]): (hit["rank"], hit["value"]) for hit in hits}
    assert found == wanted
    assert len(hits) == len(wanted)
    order = [(hit["rank"], -hit["value"]) for hit in hits]
    assert order == sorted(order)


def test_search_keeps_to_a_source_a_corpus_and_a_density(get: Get) -> None:
    (hit,) = get(PATH, token="</script>", source="mlp-0", max_density=0.01)["items"][:1]
    assert (hit["source"], hit["index"], hit["share"]) == ("mlp-0", ON_SCRIPT, 1)
    for hit in get(PATH, token="</script>", corpus="other-text", min_density=0.01)["items"]:
        assert hit["corpus"] == "other-text"
        assert hit["unit"]["density"] >= 0.01
        assert hit["unit"]["page"].endswith("?corpus=other-text")


def test_a_text_of_several_tokens_is_refused_with_some_that_come_near(client: TestClient) -> None:
    answer = client.get(f"/api/v1{PATH}", params={"token": "returning home"})
    assert answer.status_code == 422
    assert "not one token" in answer.json()["detail"]
    assert "'return'" in answer.json()["detail"]


@pytest.mark.parametrize(
    "asked", [{}, {"token": "a", "logit": "b"}, {"q": "mlp-0/1", "token": "a"}]
)
def test_a_search_asks_one_question(client: TestClient, asked: dict[str, str]) -> None:
    answer = client.get(f"/api/v1{PATH}", params=asked)
    assert answer.status_code == 422
    assert "one of" in answer.json()["detail"]


def test_a_null_is_found_as_it_is_shown(get: Get) -> None:
    assert all(hit["tokens"] == ["\\x00"] for hit in get(PATH, token="\x00")["items"])
