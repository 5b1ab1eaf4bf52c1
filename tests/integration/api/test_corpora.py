"""Models, sources, corpora and windows: what there is, whole and in order."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from app.main import create_app
from tests.integration.api.conftest import Get
from tests.integration.seed import Seeded, seed

pytestmark = pytest.mark.both_servers


@pytest.fixture
def own(engine: Engine) -> Iterator[tuple[Engine, TestClient]]:
    """A seeded database that the test may change."""
    seed(engine)
    with TestClient(create_app(engine)) as client:
        yield engine, client


@pytest.mark.parametrize("corpus", ["code", "other-text"])
@pytest.mark.parametrize("limit", [1, 7, 500])
def test_windows_give_back_every_document(
    seeded: Seeded, walk: Get, corpus: str, limit: int
) -> None:
    found = walk(f"/corpora/{corpus}/windows", limit)
    assert [each["window"] for each in found] == list(range(len(found)))
    assert len(found) == len(seeded.corpora[corpus].windows)
    documents: dict[str, str] = {}
    for each in found:
        assert "".join(each["tokens"][1:]) == each["text"]
        so_far = documents.get(each["document"], "")[: each["char_start"]]
        assert len(so_far) == each["char_start"]
        documents[each["document"]] = so_far + each["text"]
    assert list(documents.values()) == seeded.corpora[corpus].documents


def test_lists_are_walked_once_each(walk: Get) -> None:
    assert [each["model"] for each in walk("/models", 1)] == ["tiny-a", "tiny-b"]
    assert [each["corpus"] for each in walk("/corpora", 1)] == ["code", "other-text"]
    sources = [each["source"] for each in walk("/models/tiny-a/sources", 1)]
    assert sources == ["mlp-0", "mlp-1", "sae-1"]


def test_a_model_counts_what_it_has(get: Get) -> None:
    model = get("/models/tiny-a")
    assert (model["n_sources"], model["n_units"]) == (3, 44)
    assert model["corpora"] == ["code", "other-text"]
    assert model["tokenizer_hash"] == "tokenizer-hash"
    assert get("/models")["items"][0] == model


def test_a_source_has_its_scan_over_each_corpus_the_largest_first(get: Get) -> None:
    source = get("/models/tiny-a/sources/sae-1")
    assert [scan["corpus"] for scan in source["scans"]] == ["code", "other-text"]
    assert source["scans"][0]["n_alive"] == 19
    assert sum(source["scans"][0]["density_histogram"]) == 19
    assert source["scans"][0]["finished_at"] == "2026-01-02T03:04:05+00:00"


def test_what_no_complete_scan_holds_is_not_seen(own: tuple[Engine, TestClient]) -> None:
    engine, client = own
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE scan_sources SET is_current = false WHERE source_id IN "
                "(SELECT id FROM sources WHERE slug IN ('mlp-0', 'mlp-1'))"
            )
        )
    assert [m["model"] for m in client.get("/api/v1/models").json()["items"]] == ["tiny-a"]
    assert client.get("/api/v1/models/tiny-a").json()["n_units"] == 20
    assert client.get("/api/v1/models/tiny-b").status_code == 404
    assert client.get("/api/v1/models/tiny-a/sources/mlp-0").status_code == 404
    assert client.get("/api/v1/models/tiny-a/sources/mlp-0/units/0").status_code == 404
    found = client.get("/api/v1/models/tiny-a/search", params={"q": "mlp-0/1"})
    assert found.json()["items"] == []


def test_a_listing_that_was_scanned_anew_refuses_the_old_cursor(
    own: tuple[Engine, TestClient],
) -> None:
    engine, client = own
    path = "/api/v1/models/tiny-a/sources/mlp-0/units"
    cursor = client.get(path, params={"limit": 3}).json()["next"]
    assert client.get(path, params={"limit": 3, "cursor": cursor}).status_code == 200
    with engine.begin() as connection:  # now another scan is the one that is shown by default
        connection.execute(text("UPDATE corpora SET n_tokens = 1 WHERE slug = 'code'"))
    assert client.get(path, params={"limit": 3, "cursor": cursor}).status_code == 422
