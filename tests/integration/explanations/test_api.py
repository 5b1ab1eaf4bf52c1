"""Explanations by REST: read by all, written with a token, changed by who wrote them."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from app import db
from app.explanations.queries import all_of_model
from tests.integration.explanations.conftest import Bearer, Say

API = "/api/v1"
MODEL = f"{API}/models/tiny-a"
UNIT = f"{MODEL}/sources/mlp-0/units/2"


def test_what_is_written_is_kept_and_says_where(client: TestClient, bearer: Bearer) -> None:
    sent = {"text": "  a dog\r\nor cafe\u0301 "}
    answer = client.post(f"{UNIT}/explanations", json=sent, headers=bearer())
    assert answer.status_code == 201, answer.text
    written = answer.json()
    assert written["text"] == "a dog\nor caf\u00e9"
    assert (written["author"], written["source"], written["index"]) == ("ada", "mlp-0", 2)
    assert answer.headers["location"] == written["links"]["self"]
    assert client.get(answer.headers["location"]).json() == written
    assert client.get(written["links"]["unit"]).json()["index"] == 2


def test_it_is_read_without_a_token(client: TestClient, say: Say) -> None:
    written = say("mlp-0/2", "dogs")
    listed = {"items": [written], "next": None}
    assert client.get(client.get(UNIT).json()["links"]["explanations"]).json() == listed
    assert client.get(f"{MODEL}/explanations").json() == listed
    assert client.get(f"{MODEL}/explanations", params={"source": "mlp-1"}).json()["items"] == []
    assert client.get(f"{API}/models/tiny-b/explanations").json()["items"] == []
    (beside,) = client.get(UNIT).json()["explanations"]
    assert beside == {name: written[name] for name in beside}


def test_the_newest_stands_beside_the_label_in_lists(client: TestClient, say: Say) -> None:
    say("mlp-0/2", "cats", "bo")
    newest = say("mlp-0/2", "dogs")
    say("mlp-0/4", "birds")
    rows = {row["index"]: row for row in client.get(f"{MODEL}/sources/mlp-0/units").json()["items"]}
    assert rows[2]["explanation"] == {name: newest[name] for name in rows[2]["explanation"]}
    assert rows[2]["label"]["kind"] == "automatic"
    assert [index for index, row in rows.items() if row["explanation"]] == [2, 4]
    others = client.get(f"{MODEL}/sources/mlp-0/units/1/similar").json()["items"]
    said = {(e["source"], e["index"]): e["explanation"] for e in others if e["explanation"]}
    assert said["mlp-0", 2]["text"] == "dogs"
    found = client.get(f"{MODEL}/search/rule", params={"rule": ":digit"}).json()["items"]
    texts = {(e["source"], e["index"]): e["unit"]["explanation"] for e in found}
    assert texts["mlp-0", 2]["text"] == "dogs"


def test_a_listing_goes_from_the_newest_a_part_at_a_time(client: TestClient, say: Say) -> None:
    texts = [say("mlp-0/2", f"dogs {i}")["text"] for i in range(5)]
    for path in (f"{UNIT}/explanations", f"{MODEL}/explanations"):
        found: list[str] = []
        cursor: dict[str, str] | None = {}
        while cursor is not None:
            part = client.get(path, params={"limit": 2, **cursor}).json()
            found += [each["text"] for each in part["items"]]
            cursor = part["next"] and {"cursor": part["next"]}
        assert found == texts[::-1]


def test_the_same_sent_again_is_the_one_that_is_there(
    client: TestClient, bearer: Bearer, say: Say
) -> None:
    first = say("mlp-0/2", "dogs")
    sent = {"text": " dogs\r\n"}
    again = client.post(f"{UNIT}/explanations", json=sent, headers=bearer())
    assert (again.status_code, again.json()) == (200, first)
    assert say("mlp-0/2", "dogs", "bo")["id"] != first["id"]
    assert say("mlp-0/4", "dogs")["id"] != first["id"]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_only_who_wrote_it_changes_or_deletes_it(
    client: TestClient, bearer: Bearer, say: Say, method: str
) -> None:
    at = say("mlp-0/2", "dogs")["links"]["self"]
    body = {"text": "cats"} if method == "PATCH" else None
    refused = client.request(method, at, json=body, headers=bearer("bo"))
    assert refused.status_code == 403
    assert "'ada'" in refused.json()["detail"] and "'bo'" in refused.json()["detail"]
    assert client.get(at).json()["text"] == "dogs"
    assert client.request(method, at, json=body, headers=bearer()).status_code in (200, 204)
    after = client.get(at)
    assert after.status_code == 404 if method == "DELETE" else after.json()["text"] == "cats"


def test_a_change_says_when_and_an_empty_one_does_nothing(
    client: TestClient, bearer: Bearer, say: Say
) -> None:
    was = say("mlp-0/2", "dogs")
    at = was["links"]["self"]
    assert client.patch(at, json={"text": " dogs "}, headers=bearer()).json() == was
    changed = client.patch(at, json={"text": "cats"}, headers=bearer()).json()
    assert changed["updated_at"] > was["updated_at"]
    assert changed == was | {"text": "cats", "updated_at": changed["updated_at"]}


def test_a_change_to_what_the_author_said_already_is_a_conflict(
    client: TestClient, bearer: Bearer, say: Say
) -> None:
    say("mlp-0/2", "dogs")
    at = say("mlp-0/2", "cats")["links"]["self"]
    refused = client.patch(at, json={"text": "dogs"}, headers=bearer())
    assert refused.status_code == 409
    assert "unit 2" in refused.json()["detail"]
    assert client.get(at).json()["text"] == "cats"


@pytest.mark.parametrize(("method", "path"), [("POST", None), ("PATCH", ""), ("DELETE", "")])
def test_writing_needs_a_token_of_the_scope(
    client: TestClient, bearer: Bearer, say: Say, method: str, path: str | None
) -> None:
    at = f"{UNIT}/explanations" if path is None else say("mlp-0/2", "dogs")["links"]["self"]
    for headers, status in (({}, 401), (bearer("bo", "jobs"), 403)):
        answer = client.request(method, at, json={"text": "cats"}, headers=headers)
        assert answer.status_code == status
        assert "explanations" in answer.json()["detail"]
    assert "cats" not in client.get(UNIT).text


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": ""}',
        b'{"text": "a\\u0000b"}',
        b'{"text": "\\ud800"}',
        b'{"text": 7}',
        b'{"text": "x", "author": "bo"}',
        b"{}",
        b"[",
        b'{"text": "' + b"x" * 2001 + b'"}',
    ],
)
def test_what_cannot_be_kept_is_refused_in_words(
    client: TestClient, bearer: Bearer, body: bytes
) -> None:
    headers = bearer() | {"Content-Type": "application/json"}
    answer = client.post(f"{UNIT}/explanations", content=body, headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]
    assert client.get(f"{UNIT}/explanations").json()["items"] == []


@pytest.mark.parametrize(
    "path",
    [
        f"{MODEL}/sources/mlp-0/units/99/explanations",
        f"{MODEL}/sources/mlp-0/units/-1/explanations",
        f"{MODEL}/sources/nope/units/1/explanations",
        f"{API}/models/nope/explanations",
        f"{API}/explanations/0",
        f"{API}/explanations/{10**30}",
    ],
)
def test_what_is_not_there_is_said(client: TestClient, bearer: Bearer, path: str) -> None:
    assert client.get(path).status_code == 404
    if path.endswith("units/99/explanations"):
        assert client.post(path, json={"text": "dogs"}, headers=bearer()).status_code == 404


def test_all_of_a_model_come_oldest_first_with_the_weights_they_speak_of(
    module_engine: Engine, say: Say
) -> None:
    written: list[Any] = [say("mlp-0/2", "dogs"), say("sae-1/3", "cats", "bo")]
    with db.session(module_engine) as session:
        found = [each.model_dump(mode="json") for each in all_of_model(session, "tiny-a")]
        assert list(all_of_model(session, "tiny-b")) == []
    assert [each["id"] for each in found] == [each["id"] for each in written]
    assert found[0]["model_weights_hash"] == "weights-of-tiny-a"
    assert found[0]["source_weights_hash"] == "weights-of-mlp-0"
