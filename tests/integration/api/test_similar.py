"""Similar units, against NumPy on what is stored."""

from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from app import partitions
from app.atlas.cache import Cache, get_cache
from app.main import create_app
from app.units import similar
from tests.integration.api.conftest import Get
from tests.integration.seed import ALWAYS, DEAD, ON_EMOJI, Seeded, seed

ROOT = "/models/tiny-a/sources"
SOURCES = ["mlp-0", "mlp-1", "sae-1"]


def correlations(seeded: Seeded, source: str, index: int, corpus: str) -> dict[Any, float]:
    """By (source, unit), itself and what never varies left out."""
    x = seeded.atlases["tiny-a", source, corpus][:, index].astype(np.float64)
    found = {}
    for other in SOURCES:
        for unit, y in enumerate(seeded.atlases["tiny-a", other, corpus].T.astype(np.float64)):
            if (other, unit) != (source, index) and np.ptp(x) and np.ptp(y):
                found[other, unit] = np.corrcoef(x, y)[0, 1]
    return found


def cosines(seeded: Seeded, source: str, index: int) -> dict[Any, float]:
    x = seeded.directions["tiny-a", source][index].astype(np.float64)
    found = {}
    for other in SOURCES:
        for unit, y in enumerate(seeded.directions["tiny-a", other].astype(np.float64)):
            if (other, unit) != (source, index) and y.any() and x.any():
                found[other, unit] = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    return found


def check(answer: Any, wanted: dict[Any, float], tolerance: float) -> None:
    found = {(each["source"], each["index"]): each["value"] for each in answer["items"]}
    assert answer["n_units"] == len(wanted)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert len(found) == len(answer["items"])
    assert all(found[key] == pytest.approx(wanted[key], abs=tolerance) for key in found)
    best = sorted(wanted.values(), reverse=True)[: len(found)]
    assert list(found.values()) == pytest.approx(best, abs=tolerance)


@pytest.mark.both_servers
@pytest.mark.parametrize("corpus", ["code", "other-text"])
@pytest.mark.parametrize(("source", "index"), [("mlp-0", 7), ("sae-1", ON_EMOJI), ("mlp-1", 0)])
def test_by_activation_is_pearsons_correlation(
    seeded: Seeded, get: Get, source: str, index: int, corpus: str
) -> None:
    answer = get(f"{ROOT}/{source}/units/{index}/similar", corpus=corpus, limit=500)
    check(answer, correlations(seeded, source, index, corpus), 1e-9)
    assert (answer["by"], answer["corpus"]) == ("activation", corpus)
    assert answer["n_positions"] == len(seeded.atlases["tiny-a", source, corpus])
    assert answer["left_out"] == [] and answer["next"] is None and answer["reason"] is None


@pytest.mark.both_servers
@pytest.mark.parametrize(("source", "index"), [("mlp-0", 7), ("sae-1", 0)])
def test_by_direction_is_the_cosine(seeded: Seeded, get: Get, source: str, index: int) -> None:
    answer = get(f"{ROOT}/{source}/units/{index}/similar", by="direction", limit=500)
    check(answer, cosines(seeded, source, index), 1e-6)
    assert (answer["by"], answer["n_positions"]) == ("direction", None)


def test_filters_apply_before_the_limit(seeded: Seeded, get: Get) -> None:
    for limit in (1, 3, 20):
        for by in ("activation", "direction"):
            items = get(f"{ROOT}/mlp-0/units/7/similar", source="sae-1", by=by, limit=limit)[
                "items"
            ]
            assert {each["source"] for each in items} == {"sae-1"}
            assert len(items) == min(limit, 19)
    own = get(f"{ROOT}/mlp-0/units/7/similar", source="mlp-0", limit=500)["items"]
    assert 7 not in [each["index"] for each in own]
    assert len(get(f"{ROOT}/mlp-0/units/7/similar")["items"]) == 20


def test_an_item_says_what_it_is(get: Get) -> None:
    [item] = get(f"{ROOT}/mlp-0/units/7/similar", corpus="other-text", limit=1, source="sae-1")[
        "items"
    ]
    unit = get(f"{ROOT}/sae-1/units/{item['index']}")
    stats = next(each for each in unit["stats"] if each["corpus"] == "other-text")
    assert (item["density"], item["max"]) == (stats["density"], stats["max"])
    assert (item["model"], item["kind"], item["layer"]) == ("tiny-a", "sae_latent", 1)
    assert item["promoted"] == [each["token"] for each in unit["logit_lens"]["positive"][:3]]
    tokens = get(f"{ROOT}/sae-1/units/{item['index']}/tokens", corpus="other-text")["items"]
    assert item["top_token"] == tokens[0]["token"]
    assert item["page"] == f"/tiny-a/sae-1/{item['index']}?corpus=other-text"
    assert item["links"]["self"] == f"/api/v1/models/tiny-a/sources/sae-1/units/{item['index']}"


def test_the_units_own_document_has_the_ten_nearest(get: Get) -> None:
    unit = get(f"{ROOT}/sae-1/units/{ALWAYS}")
    for by in ("activation", "direction"):
        listed = get(f"{ROOT}/sae-1/units/{ALWAYS}/similar", by=by, limit=10)["items"]
        assert unit["neighbours"][by] == listed and len(listed) == 10
    assert unit["neighbours"]["reasons"] == {}
    assert unit["links"]["similar"].endswith(f"/sae-1/units/{ALWAYS}/similar")


def test_what_never_varies_is_like_nothing_and_says_so(get: Get) -> None:
    for by, word in (("activation", "correlates"), ("direction", "length 0")):
        answer = get(f"{ROOT}/sae-1/units/{DEAD}/similar", by=by)
        assert (answer["items"], answer["n_units"]) == ([], 0)
        assert word in answer["reason"]
        assert word in get(f"{ROOT}/sae-1/units/{DEAD}")["neighbours"]["reasons"][by]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("by=word", 422),
        ("limit=0", 422),
        ("limit=501", 422),
        ("corpus=none", 404),
        ("source=none", 404),
        ("sources=mlp-0", 422),
    ],
)
def test_a_value_that_will_not_do_is_named(client: TestClient, query: str, status: int) -> None:
    answer = client.get(f"/api/v1{ROOT}/mlp-0/units/7/similar?{query}")
    assert answer.status_code == status
    assert query.partition("=")[2] in answer.text or "sources" in answer.text


CHANGES = {
    "tiny-a/mlp-0 was scanned before atlases were kept; index it again": "DELETE FROM atlases",
    "piece 1 of 5 is missing": "DELETE FROM atlas_pieces WHERE piece = 1",
    "it is not what its hash says": f"UPDATE atlases SET hash = '{'0' * 32}'",
}


@pytest.fixture
def fresh(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> TestClient:
    """A client on a database to damage, with an empty cache."""
    seed(engine)
    cache = Cache(tmp_path, 10**9)
    monkeypatch.setattr(similar, "get_cache", lambda: cache)
    return TestClient(create_app(engine))


def change(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize("words", CHANGES)
def test_without_a_good_atlas_of_its_own_a_unit_is_compared_with_nothing(
    engine: Engine, fresh: TestClient, words: str
) -> None:
    change(engine, CHANGES[words])
    answer = fresh.get(f"/api/v1{ROOT}/mlp-0/units/7/similar")
    assert answer.status_code == 409
    assert words in answer.json()["detail"]
    unit = fresh.get(f"/api/v1{ROOT}/mlp-0/units/7").json()
    assert unit["neighbours"]["activation"] == []
    assert words in unit["neighbours"]["reasons"]["activation"]
    assert len(unit["neighbours"]["direction"]) == 10
    part = fresh.get("/tiny-a/mlp-0/7/similar", headers={"HX-Request": "true"})
    assert part.status_code == 200 and words in part.text


OTHERS = "source_id = (SELECT id FROM sources WHERE slug = 'sae-1')"
LEFT_OUT = {
    "was scanned before atlases were kept": f"DELETE FROM atlases WHERE {OTHERS}",
    "cannot be used: piece 0 of 5": f"UPDATE atlas_pieces SET counts = '' WHERE {OTHERS}",
    "has an atlas of other windows": f"UPDATE atlases SET n_positions = 5 WHERE {OTHERS}",
    "was not scanned over code": "UPDATE scan_sources SET is_current = false WHERE corpus_id = "
    f"(SELECT id FROM corpora WHERE slug = 'code') AND {OTHERS}",
}


@pytest.mark.parametrize("words", LEFT_OUT)
def test_a_source_that_cannot_be_compared_is_left_out_and_said_to_be(
    engine: Engine, fresh: TestClient, words: str
) -> None:
    change(engine, LEFT_OUT[words])
    answer = fresh.get(f"/api/v1{ROOT}/mlp-0/units/7/similar?limit=500").json()
    assert {each["source"] for each in answer["items"]} == {"mlp-0", "mlp-1"}
    [left_out] = answer["left_out"]
    assert left_out["source"] == "sae-1" and words in left_out["reason"]
    only = fresh.get(f"/api/v1{ROOT}/mlp-0/units/7/similar?source=sae-1").json()
    assert only["items"] == [] and only["left_out"] == [left_out]
    assert only["reason"] == "no other unit can be compared"


@pytest.mark.parametrize("windows", ["atlas_windows", "'\\x0000000002000000'::bytea"])
def test_scans_are_compared_where_their_windows_are_the_same(
    engine: Engine, fresh: TestClient, windows: str
) -> None:
    _move_to_a_scan_of_its_own(engine, windows)
    answer = fresh.get(f"/api/v1{ROOT}/mlp-0/units/7/similar?limit=500").json()
    sources = {each["source"] for each in answer["items"]}
    if windows == "atlas_windows":
        assert answer["left_out"] == [] and sources == set(SOURCES)
    else:
        [left_out] = answer["left_out"]
        assert left_out["source"] == "sae-1" and sources == {"mlp-0", "mlp-1"}
        assert "has an atlas of other windows" in left_out["reason"]


def _move_to_a_scan_of_its_own(engine: Engine, windows: str) -> None:
    """Gives sae-1's results over `code` to a new scan with these windows."""
    columns = (
        "language_model_id, corpus_id, status, settings_hash, settings, n_tokens_done, "
        "software_version, atlas_windows"
    )
    with engine.begin() as connection:
        old = connection.scalar(
            text(
                f"SELECT scan_id FROM scan_sources JOIN corpora ON corpora.id = corpus_id "
                f"WHERE corpora.slug = 'code' AND {OTHERS}"
            )
        )
        new = connection.scalar(
            text(
                f"INSERT INTO scans ({columns}) SELECT {columns.replace('atlas_windows', windows)} "
                "FROM scans WHERE id = :old RETURNING id"
            ),
            {"old": old},
        )
        partitions.create(connection, partitions.SCAN_TABLES, new)
        for table in ("scan_sources", "atlases", "atlas_pieces", "unit_stats"):
            connection.execute(
                text(f"UPDATE {table} SET scan_id = :new WHERE scan_id = :old AND {OTHERS}"),
                {"old": old, "new": new},
            )


def test_a_scan_without_its_windows_is_compared_with_itself(
    engine: Engine, fresh: TestClient
) -> None:
    change(engine, "UPDATE scans SET atlas_windows = NULL")
    answer = fresh.get(f"/api/v1{ROOT}/mlp-0/units/7/similar").json()
    assert answer["left_out"] == [] and len(answer["items"]) == 20
    stats = fresh.get(f"/api/v1{ROOT}/mlp-0/units/7").json()["stats"]
    assert stats[0]["histogram"]["n_windows"] is None


def test_a_cache_that_cannot_be_written_is_a_503_in_words(
    fresh: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "file").write_text("in the way")
    broken = Cache(tmp_path / "file" / "cache", 10**9)
    monkeypatch.setattr(similar, "get_cache", lambda: broken)
    answer = fresh.get(f"/api/v1{ROOT}/mlp-0/units/7/similar")
    assert answer.status_code == 503
    assert str(broken.folder) in answer.json()["detail"]
    assert fresh.get(f"/api/v1{ROOT}/mlp-0/units/7").status_code == 200
    assert str(broken.folder) in fresh.get("/tiny-a/mlp-0/7/similar").text
    assert fresh.get("/tiny-a/mlp-0/7").status_code == 200


def test_the_cache_is_in_the_data_directory() -> None:
    assert get_cache().folder.parts[-2:] == ("cache", "atlas")
