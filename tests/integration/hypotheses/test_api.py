"""Hypotheses by REST: saved with figures of the server's own, read by all, written by few."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.hypotheses import queries, service
from tests.integration.hypotheses.conftest import Bearer
from tests.integration.seed import DEAD, ON_SCRIPT, SCRIPT

API = "/api/v1"
MODEL = f"{API}/models/tiny-a"
UNIT = f"{MODEL}/sources/sae-1/units/{ON_SCRIPT}"
NEW = {"name": "closing tags", "rule": {"tokens": [SCRIPT]}}
LONG = "a" * 200


def save(client: TestClient, headers: dict[str, str], at: str = UNIT, **changed: Any) -> Any:
    answer = client.post(f"{at}/hypotheses", json=NEW | changed, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == answer.json()["links"]["self"]
    return answer.json()


@pytest.mark.parametrize("threshold", [0.0, 0.5, "best"])
def test_what_is_saved_is_what_the_report_says(
    client: TestClient, bearer: Bearer, threshold: object
) -> None:
    saved = save(client, bearer(), threshold=threshold)
    question = {"rule": NEW["rule"], "threshold": threshold}
    report = client.post(f"{UNIT}/test", json=question).json()
    figures = saved["figures"]
    for name in ("n_positions", "n_matched", "mass_explained", "auroc", "ci", "confusion"):
        assert figures[name] == report[name], name
    assert figures["threshold"] == report["threshold"]
    assert figures["threshold_asked"] == threshold
    assert (saved["corpus"], saved["author"]) == (report["corpus"], "ada")
    assert (saved["rule"], saved["text"]) == (report["rule"], report["text"])
    assert figures["software_version"] and figures["scan"] > 0


def test_it_is_read_without_a_token(client: TestClient, bearer: Bearer) -> None:
    saved = save(client, bearer())
    assert client.get(saved["links"]["self"]).json() == saved
    listed = {"items": [saved], "next": None}
    assert client.get(f"{UNIT}/hypotheses").json() == listed
    assert client.get(client.get(UNIT).json()["links"]["hypotheses"]).json() == listed
    assert client.get(f"{MODEL}/hypotheses").json() == listed
    assert client.get(f"{MODEL}/hypotheses", params={"source": "mlp-0"}).json()["items"] == []
    assert client.get(f"{API}/models/tiny-b/hypotheses").json()["items"] == []
    assert client.get(saved["links"]["evidence"]).status_code == 200


def test_a_listing_goes_from_the_newest_a_part_at_a_time(
    client: TestClient, bearer: Bearer
) -> None:
    headers = bearer()
    names = [save(client, headers, name=f"n{i}")["name"] for i in range(5)]
    for path in (f"{UNIT}/hypotheses", f"{MODEL}/hypotheses"):
        found, cursor = [], {}
        while cursor is not None:
            part = client.get(path, params={"limit": 2, **cursor}).json()
            found += [each["name"] for each in part["items"]]
            cursor = part["next"] and {"cursor": part["next"]}
        assert found == names[::-1]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{UNIT}/hypotheses", NEW),
        ("PATCH", "self", {"name": "other"}),
        ("DELETE", "self", None),
    ],
)
def test_writing_needs_a_token_of_the_scope(
    client: TestClient, bearer: Bearer, method: str, path: str, body: object
) -> None:
    path = save(client, bearer())["links"]["self"] if path == "self" else path
    answer = client.request(method, path, json=body)
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    answer = client.request(method, path, json=body, headers={"Authorization": "Bearer us_no"})
    assert answer.status_code == 401
    answer = client.request(method, path, json=body, headers=bearer("bo", "jobs"))
    assert answer.status_code == 403 and "--scope hypotheses" in answer.json()["detail"]


def test_only_who_saved_it_changes_or_deletes_it(client: TestClient, bearer: Bearer) -> None:
    own, other = bearer("ada"), bearer("bo")
    link = save(client, own)["links"]["self"]
    for answer in (
        client.patch(link, json={"name": "mine"}, headers=other),
        client.delete(link, headers=other),
    ):
        assert answer.status_code == 403
        assert "'ada'" in answer.json()["detail"] and "'bo'" in answer.json()["detail"]
    assert client.delete(link, headers=own).status_code == 204
    for answer in (client.get(link), client.delete(link, headers=own)):
        assert answer.status_code == 404


def test_the_same_again_is_the_one_that_is_there(client: TestClient, bearer: Bearer) -> None:
    headers = bearer()
    saved = save(client, headers)
    again = {**NEW, "name": " closing \t tags\n", "corpus": saved["corpus"], "threshold": 0}
    answer = client.post(f"{UNIT}/hypotheses", json=again, headers=headers)
    assert (answer.status_code, answer.json()) == (200, saved)
    assert answer.headers["location"] == saved["links"]["self"]


@pytest.mark.parametrize(
    "other", [{"rule": {"class": "digit"}}, {"corpus": "other-text"}, {"threshold": "best"}]
)
def test_a_name_is_given_once_in_a_unit(
    client: TestClient, bearer: Bearer, other: dict[str, object]
) -> None:
    headers = bearer()
    save(client, headers)
    answer = client.post(f"{UNIT}/hypotheses", json=NEW | other, headers=headers)
    assert answer.status_code == 409 and "'closing tags'" in answer.json()["detail"]
    save(client, headers, f"{MODEL}/sources/mlp-0/units/7", **other)


@pytest.mark.parametrize(("threshold", "status"), [(0.0, 200), (1.0, 409)])
def test_who_comes_second_at_the_same_moment_finds_the_first(
    client: TestClient,
    bearer: Bearer,
    monkeypatch: pytest.MonkeyPatch,
    threshold: float,
    status: int,
) -> None:
    headers = bearer()
    saved = save(client, headers)
    found = iter([lambda *_: None, queries.find_named])
    monkeypatch.setattr(service, "find_named", lambda *given: next(found)(*given))
    again = NEW | {"threshold": threshold}
    answer = client.post(f"{UNIT}/hypotheses", json=again, headers=headers)
    assert answer.status_code == status
    assert client.get(f"{UNIT}/hypotheses").json()["items"] == [saved]


def test_another_name_leaves_the_figures(client: TestClient, bearer: Bearer) -> None:
    headers = bearer()
    saved = save(client, headers)
    answer = client.patch(saved["links"]["self"], json={"name": "cafe\u0301"}, headers=headers)
    changed = answer.json()
    assert changed["name"] == "caf\u00e9"
    assert (changed["figures"], changed["rule"]) == (saved["figures"], saved["rule"])
    assert changed["updated_at"] > saved["updated_at"] == saved["created_at"]
    assert client.get(saved["links"]["self"]).json() == changed
    save(client, headers)
    answer = client.patch(saved["links"]["self"], json={"name": NEW["name"]}, headers=headers)
    assert answer.status_code == 409 and "'closing tags'" in answer.json()["detail"]
    assert client.get(saved["links"]["self"]).json() == changed


def test_another_rule_is_measured_as_the_first_was(client: TestClient, bearer: Bearer) -> None:
    headers, rule = bearer(), {"class": "digit"}
    saved = save(client, headers, corpus="other-text", threshold="best")
    changed = client.patch(saved["links"]["self"], json={"rule": rule}, headers=headers).json()
    fresh = save(client, headers, name="new", rule=rule, corpus="other-text", threshold="best")
    assert (changed["name"], changed["id"]) == (saved["name"], saved["id"])
    for name in ("rule", "text", "corpus", "figures"):
        assert changed[name] == fresh[name]


def test_a_rule_is_taken_in_one_line(client: TestClient, bearer: Bearer) -> None:
    headers = bearer()
    saved = save(client, headers, rule=":digit")
    assert saved["rule"] == {"class": "digit"}
    address = saved["links"]["self"]
    changed = client.patch(address, json={"rule": '!"a"'}, headers=headers).json()
    assert (changed["rule"], changed["text"]) == ({"not": {"tokens": ["a"]}}, '!"a"')
    refused = client.patch(address, json={"rule": ":number"}, headers=headers)
    assert refused.status_code == 422 and ":digit" in refused.json()["detail"]


@pytest.mark.parametrize("name", [LONG, "<script>alert(1)</script>", "{{ 7*7 }}", "🙂", "' OR 1=1"])
def test_any_text_is_a_name(client: TestClient, bearer: Bearer, name: str) -> None:
    assert save(client, bearer(), name=name)["name"] == name


@pytest.mark.parametrize(
    "body",
    [
        NEW | {"name": LONG + "a"},
        NEW | {"name": ""},
        NEW | {"name": " \u200b "},
        NEW | {"name": "nul\0"},
        NEW | {"name": None},
        NEW | {"rule": {"regex": "("}},
        NEW | {"rule": "def"},
        NEW | {"threshold": -1},
        NEW | {"threshold": "most"},
        NEW | {"corpus": "a" * 201},
        NEW | {"figures": {"auroc": 1}},
        {"name": "no rule"},
        [],
    ],
)
def test_what_cannot_be_saved_is_refused(client: TestClient, bearer: Bearer, body: object) -> None:
    answer = client.post(f"{UNIT}/hypotheses", json=body, headers=bearer())
    assert answer.status_code == 422 and answer.json()["detail"]


@pytest.mark.parametrize("raw", [b'{"name": "\\ud800", "rule": {"class": "digit"}}', b"{", b"\xff"])
def test_what_is_no_text_is_refused(client: TestClient, bearer: Bearer, raw: bytes) -> None:
    headers = bearer() | {"Content-Type": "application/json"}
    assert client.post(f"{UNIT}/hypotheses", content=raw, headers=headers).status_code in (400, 422)


def test_nothing_to_change_is_refused(client: TestClient, bearer: Bearer) -> None:
    headers = bearer()
    link = save(client, headers)["links"]["self"]
    for change in ({}, {"name": None}, {"author": "bo"}, {"name": ""}):
        assert client.patch(link, json=change, headers=headers).status_code == 422


def test_what_is_not_there_is_not_found(client: TestClient, bearer: Bearer) -> None:
    headers = bearer()
    for path in (f"{MODEL}/sources/sae-1/units/999", f"{MODEL}/sources/no/units/1"):
        assert client.get(f"{path}/hypotheses").status_code == 404
        assert client.post(f"{path}/hypotheses", json=NEW, headers=headers).status_code == 404
    answer = client.post(f"{UNIT}/hypotheses", json=NEW | {"corpus": "no"}, headers=headers)
    assert answer.status_code == 404
    for number in (0, -1, 7**9, 2**63, 10**30):
        assert client.get(f"{API}/hypotheses/{number}").status_code == 404
    assert client.get(f"{API}/models/no/hypotheses").status_code == 404
    assert client.get(f"{MODEL}/hypotheses", params={"source": "no"}).status_code == 404
    assert client.get(f"{MODEL}/hypotheses", params={"cursor": "no"}).status_code == 422


def test_a_dead_unit_has_figures_that_are_null(client: TestClient, bearer: Bearer) -> None:
    saved = save(client, bearer(), f"{MODEL}/sources/sae-1/units/{DEAD}")
    assert saved["figures"]["mass_explained"] is None
    assert saved["figures"]["ci"]["mass_explained"] is None


def test_every_call_is_described(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    calls = {
        (path, method): call
        for path, methods in paths.items()
        if "hypotheses" in path
        for method, call in methods.items()
    }
    assert len(calls) == 6
    for (_, method), call in calls.items():
        assert call["description"] and call["tags"] == ["hypotheses"]
        assert ("security" in call) == (method != "get")
