"""Words find what stands on a unit's page: its newest explanation, else its automatic label."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.integration.explanations.conftest import Say
from tests.integration.pages.markup import parse

SEARCH = "/api/v1/models/tiny-a/search"
SOURCES = ("mlp-0", "mlp-1", "sae-1")
Found = list[tuple[str, int, str]]


def search(client: TestClient, q: str, limit: int = 500, **parameters: Any) -> Found:
    """What is found, part after part."""
    found: Found = []
    cursor: dict[str, str] | None = {}
    while cursor is not None:
        asked = {"q": q, "limit": limit, **parameters, **cursor}
        answer = client.get(SEARCH, params=asked)
        assert answer.status_code == 200, answer.text
        part = answer.json()
        assert part["items"] or not found
        found += [(hit["source"], hit["index"], hit["found_by"]) for hit in part["items"]]
        cursor = part["next"] and {"cursor": part["next"]}
    return found


def labelled(client: TestClient, *words: str) -> list[tuple[str, int]]:
    """Units whose automatic label has the words, as search sorts them."""
    rows = []
    for place, source in enumerate(SOURCES):
        path = f"/api/v1/models/tiny-a/sources/{source}/units"
        for row in client.get(path).json()["items"]:
            if row["label"] and set(words) <= set(re.findall(r"\w+", row["label"]["words"])):
                rows.append((-row["label"]["r2"], place, source, row["index"]))
    return [(source, index) for _, _, source, index in sorted(rows)]


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
def test_people_come_first_the_newest_before_others_then_labels(
    client: TestClient, say: Say, limit: int
) -> None:
    others = labelled(client, "the", "token")
    for unit in ("mlp-1/3", "mlp-0/3", "sae-1/9"):
        say(unit, f"The TOKEN after {unit}")
    units = [("sae-1", 9), ("mlp-0", 3), ("mlp-1", 3)]
    wanted = [(*unit, "explanation") for unit in units]
    wanted += [(*unit, "label") for unit in others if unit not in units]
    assert len(wanted) > 5
    assert search(client, "token the", limit) == wanted


def test_only_the_newest_explanation_is_looked_into(client: TestClient, say: Say) -> None:
    say("mlp-0/2", "yellow zebras")
    assert search(client, "ZEBRAS yellow") == [("mlp-0", 2, "explanation")]
    newer = say("mlp-0/2", "zebras, but green", "bo")
    assert search(client, "yellow") == []
    assert search(client, "zebras") == [("mlp-0", 2, "explanation")]
    client.get(newer["links"]["self"])


def test_an_explanation_takes_the_labels_place(client: TestClient, say: Say) -> None:
    (source, index), *_ = labelled(client, "the", "token")
    assert (source, index, "label") in search(client, "the token")
    say(f"{source}/{index}", "zebras")
    assert (source, index) not in [hit[:2] for hit in search(client, "the token")]


def test_filters_hold_for_explanations_too(client: TestClient, say: Say) -> None:
    for unit in ("mlp-0/1", "mlp-1/3", "sae-1/1"):
        say(unit, "zebras")
    assert search(client, "zebras", source="mlp-1") == [("mlp-1", 3, "explanation")]
    alive = search(client, "zebras", 1, min_density=0.5)
    assert alive == [("sae-1", 1, "explanation"), ("mlp-0", 1, "explanation")]
    assert search(client, "zebras", max_density=0) == [("mlp-1", 3, "explanation")]
    over = search(client, "zebras", corpus="other-text")
    assert [hit[0] for hit in over] == ["sae-1", "mlp-1", "mlp-0"]
    other = client.get("/api/v1/models/tiny-b/search", params={"q": "zebras"}).json()
    assert other["items"] == []


@pytest.mark.parametrize("q", ["label: zebras", "zebras", "yellow zebras"])
def test_the_page_finds_them_with_and_without_the_prefix(
    client: TestClient, say: Say, q: str
) -> None:
    say("mlp-0/2", "yellow <b>zebras</b>")
    page = parse(client.get("/search", params={"q": q, "model": "tiny-a"}).text)
    (row,) = page.all("tbody")[0].all("tr")
    said = " ".join(row.text.split())
    assert "mlp-0/2" in said and "yellow <b>zebras</b>" in said and "by ada" in said


@pytest.mark.parametrize("q", ["\0", "zebras\0", "-", "!", "zebras -zebras", "'", "a" * 400])
def test_any_words_are_answered(client: TestClient, say: Say, q: str) -> None:
    say("mlp-0/2", "zebras")
    assert client.get(SEARCH, params={"q": q}).status_code in (200, 422)
