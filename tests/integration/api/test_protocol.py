"""What holds of every call: its description, its tags, its headers, whatever is asked of it."""

import random
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import urls

STRANGE = [
    "", " ", "0", "-1", "1e309", "nan", "true", "null", "[]", "{}", "\x00", "a\x00b", "%", "'", '"',
    "; DROP TABLE units;--", "</script>", "🙂", "\u202e", "..", "../..", "x" * 300, "mlp-0", "code",
    "top", "density", "asc", "9" * 30, "mlp-0/3", "0.5", "İ", "\ufffe", "a,b", "*", "\\", "$1",
]  # fmt: skip
NAMES = {"model": "tiny-a", "source": "sae-1", "index": "7", "corpus": "code", "job": "1"}
NAMES |= {"explanation": "1", "hypothesis": "1"}


@pytest.fixture(scope="module")
def description(client: TestClient) -> dict[str, Any]:
    return client.get(urls.OPENAPI).json()


@pytest.fixture(scope="module")
def paths(description: dict[str, Any]) -> list[str]:
    return [path for path, calls in description["paths"].items() if "get" in calls]


def test_every_call_is_described_with_its_answer_and_its_problems(
    description: dict[str, Any], paths: list[str]
) -> None:
    assert len(paths) >= 23
    for path in paths:
        responses = description["paths"][path]["get"]["responses"]
        assert {"200", "404", "422", "503"} <= set(responses)
        schema = responses["200"]["content"]["application/json"]["schema"]
        assert schema["$ref"].startswith("#/components/schemas/")
        assert "application/problem+json" in responses["422"]["content"]
    assert not any("HTTPValidationError" in name for name in description["components"]["schemas"])


def test_every_reference_in_the_description_leads_somewhere(description: dict[str, Any]) -> None:
    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if "$ref" in part else []
            return own + [ref for each in part.values() for ref in references(each)]
        return [ref for each in part for ref in references(each)] if isinstance(part, list) else []

    known = description["components"]["schemas"]
    assert {ref.rpartition("/")[2] for ref in references(description)} <= set(known)


def _example(path: str) -> str:
    needed = {"search": "?q=mlp-0/1"} | dict.fromkeys(("rule", "test", "loss"), "?rule=:digit")
    return path.format(**NAMES) + needed.get(path.rpartition("/")[2], "")


def test_every_call_is_tagged_and_answers_304_to_who_has_it(
    client: TestClient, paths: list[str]
) -> None:
    unseeded = ("{explanation}", "{hypothesis}", "/loss")
    seeded = [path for path in paths if not path.endswith(unseeded)]
    for path in map(_example, seeded):
        first = client.get(path)
        assert first.status_code == 200, first.text
        assert first.headers["Cache-Control"] == "no-cache"
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert again.status_code == 304
        assert again.content == b""
        head = client.head(path)
        assert head.status_code == 200
        assert head.headers["ETag"] == first.headers["ETag"]


def test_a_compressed_answer_has_the_same_tag(client: TestClient) -> None:
    path = _example("/api/v1/models/{model}/sources/{source}/units/{index}/examples")
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    packed = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert packed.json() == plain.json()
    for headers in ({"Accept-Encoding": "identity"}, {"Accept-Encoding": "gzip"}):
        headers["If-None-Match"] = plain.headers["ETag"]
        assert client.get(path, headers=headers).status_code == 304


def test_the_documents_load_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get(urls.API_DOCS)
    assert page.status_code == 200
    assert "//" not in page.text.replace("<!doctype html>", "")
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "<script>" not in page.text


def test_the_package_managers_folder_is_not_served(client: TestClient) -> None:
    assert client.get("/static/css/base.css").status_code == 200
    for path in ("node_modules/htmx.org/package.json", "package.json", "../pyproject.toml"):
        assert client.get(f"/static/{path}").status_code == 404


def test_metrics_count_by_route_and_not_by_address(client: TestClient) -> None:
    client.get("/api/v1/models/tiny-a")
    client.get("/api/v1/models/nope")
    text = client.get(urls.METRICS).text
    assert 'route="/api/v1/models/{model}",status="404"}' in text
    assert "tiny-a" not in text
    assert "nope" not in text


def test_whatever_is_asked_gets_an_answer_or_a_problem(
    client: TestClient, description: dict[str, Any], paths: list[str]
) -> None:
    rng = random.Random(0)
    for _ in range(600):
        path = rng.choice(paths)
        names = {
            name: rng.choice([*STRANGE[3:], value]) if rng.random() < 0.15 else value
            for name, value in NAMES.items()
        }
        known = [
            each["name"]
            for each in description["paths"][path]["get"].get("parameters", [])
            if each["in"] == "query"
        ]
        asked = {name: rng.choice(STRANGE) for name in known if rng.random() < 0.3}
        filled = path
        for name, value in names.items():
            filled = filled.replace(f"{{{name}}}", urls.quote(value, safe=""))
        answer = client.get(filled, params=asked)
        assert answer.status_code in (200, 404, 422), (filled, asked, answer.text)
        kind = answer.headers["Content-Type"]
        assert kind == (
            "application/json" if answer.status_code == 200 else "application/problem+json"
        )
        answer.json()
