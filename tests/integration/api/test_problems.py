"""Failures: each in the form that was asked for, naming what was given and what to do."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from app import urls
from app.main import create_app

API = "/api/v1"
UNITS = f"{API}/models/tiny-a/sources/mlp-0/units"


def _problem(client: TestClient, path: str, status: int, **parameters: Any) -> str:
    answer = client.get(path, params=parameters)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["instance"] == path.partition("?")[0]
    assert problem["title"]
    return str(problem["detail"])


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"{API}/models/nope", "'nope'. What there is: tiny-a, tiny-b"),
        (f"{API}/models/NOPE%00/sources", "'NOPE\\x00'"),
        (f"{API}/models/{'x' * 500}", "…"),
        (f"{API}/models/tiny-a/sources/mlp-9", "mlp-0, mlp-1, sae-1"),
        (f"{UNITS}/12", "units are 0 to 11"),
        (f"{UNITS}/-1", "units are 0 to 11"),
        (f"{UNITS}/99999999999999999999", "units are 0 to 11"),
        (f"{UNITS}/3/examples?corpus=nope", "code, other-text"),
        (f"{UNITS}?corpus=nope", "code, other-text"),
        (f"{API}/corpora/nope", "code, other-text"),
        (f"{API}/corpora/nope/windows", "code, other-text"),
        (f"{API}/models/tiny-a/search?token=a&source=nope", "mlp-0, mlp-1, sae-1"),
        (f"{API}/nothing", "/api/openapi.json"),
        ("/api", "/api/openapi.json"),
        ("/api/v2/models", "/api/openapi.json"),
    ],
)
def test_an_unknown_name_is_told_with_some_that_are_known(
    client: TestClient, path: str, said: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 404, answer.text
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "parameters", "said"),
    [
        (UNITS, {"limit": 0}, "limit='0'"),
        (UNITS, {"limit": 501}, "limit='501'"),
        (UNITS, {"limit": "x"}, "limit='x'"),
        (UNITS, {"sort": "colour"}, "'index', 'name', 'density'"),
        (UNITS, {"order": "up"}, "'asc' or 'desc'"),
        (UNITS, {"alive": "maybe"}, "alive='maybe'"),
        (UNITS, {"min_density": "nan"}, "min_density='nan'"),
        (UNITS, {"max_density": 2}, "max_density='2'"),
        (UNITS, {"cursor": "tampered"}, "Start again without a cursor"),
        (UNITS, {"min_denisty": 0.1}, "Did you mean min_density?"),
        (
            f"{UNITS}/3/examples",
            {"kind": "best"},
            "'top', 'bottom', 'interval', 'random' or 'active'",
        ),
        (f"{UNITS}/3/examples", {"cursor": "x"}, "it takes corpus, kind, limit"),
        (f"{UNITS}/3", {"corpus": "code"}, "it takes none"),
        (f"{UNITS}/three", {}, "index='three'"),
        (f"{API}/models", {"cursor": "x" * 3000}, "cursor="),
        (f"{API}/corpora/code/windows", {"cursor": "\x00"}, "cursor="),
    ],
)
def test_an_invalid_parameter_is_named(
    client: TestClient, path: str, parameters: dict[str, Any], said: str
) -> None:
    assert said in _problem(client, path, 422, **parameters)


def test_a_cursor_goes_with_its_filters(client: TestClient) -> None:
    cursor = client.get(UNITS, params={"limit": 2, "sort": "max"}).json()["next"]
    for other in ({"sort": "min"}, {"sort": "density"}, {"sort": "max", "alive": True}):
        answer = client.get(UNITS, params={"limit": 2, "cursor": cursor, **other})
        assert answer.status_code == 422
    answer = client.get(UNITS, params={"limit": 9, "sort": "max", "cursor": cursor})
    assert answer.status_code == 200, "another limit is the same listing"


def test_each_invalid_value_stands_in_the_errors(client: TestClient) -> None:
    answer = client.get(UNITS, params={"limit": "x", "sort": "y" * 300})
    errors = {each["name"]: each for each in answer.json()["errors"]}
    assert set(errors) == {"limit", "sort"}
    assert errors["limit"]["value"] == "x"
    assert len(errors["sort"]["value"]) < 100


def test_a_method_that_is_not_there_is_told_what_to_use(client: TestClient) -> None:
    for path in (f"{API}/models", UNITS):
        answer = client.post(path)
        assert answer.status_code == 405
        assert "GET" in answer.json()["detail"]


def test_a_person_gets_a_page_and_htmx_a_fragment(client: TestClient) -> None:
    page = client.get("/nope", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert "<!doctype html>" in page.text
    assert "tiny-a" in page.text
    fragment = client.get("/nope", headers={"Accept": "text/html", "HX-Request": "true"})
    assert fragment.status_code == 404
    assert "<html" not in fragment.text
    assert "HX-Request" in fragment.headers["Vary"]


def test_a_program_gets_json_at_a_page_too(client: TestClient) -> None:
    answer = client.get("/nope", headers={"Accept": "application/json"})
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_markup_in_an_address_comes_back_as_text(client: TestClient) -> None:
    page = client.get("/%3Cscript%3Ealert(1)%3C%2Fscript%3E", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert "<script>alert" not in page.text


@pytest.fixture
def broken(engine: Engine) -> Iterator[TestClient]:
    app = create_app(engine)

    def lose() -> None:
        raise OperationalError("SELECT secret", {}, Exception("connection refused"))

    def fail() -> None:
        raise ZeroDivisionError("secret")

    for path, endpoint in (("/api/lost", lose), ("/api/broken", fail)):
        app.add_api_route(path, endpoint)
        app.router.routes.insert(0, app.router.routes.pop())
    with TestClient(app) as client:
        yield client


def test_a_lost_database_is_503_and_asks_to_try_again(broken: TestClient) -> None:
    answer = broken.get("/api/lost")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "secret" not in answer.text
    assert "Content-Security-Policy" in answer.headers


def test_a_defect_is_500_logged_and_told_without_its_details(
    broken: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = broken.get("/api/broken")
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "Content-Security-Policy" in answer.headers
    assert "ZeroDivisionError: secret" in caplog.text
    metrics = broken.get(urls.METRICS).text
    assert 'route="/api/broken",status="500"} 1' in metrics


def test_readiness_follows_the_schema_and_health_does_not(engine: Engine) -> None:
    with TestClient(create_app(engine)) as client:
        assert client.get(urls.READYZ).json() == {"status": "ready"}
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
        answer = client.get(urls.READYZ, headers={"Accept": "application/json"})
        assert answer.status_code == 503
        assert "unitscope db upgrade" in answer.json()["detail"]
        assert client.get(urls.HEALTHZ).json() == {"status": "ok"}


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_of_megabytes_is_refused_however_it_is_sent(
    client: TestClient, is_chunked: bool
) -> None:
    parts = [b"x" * 2**17] * 9
    body = iter(parts) if is_chunked else b"".join(parts)
    answer = client.post(f"{API}/models/tiny-a/search/rule", content=body)
    assert answer.status_code == 413
    assert "at most 1,048,576 bytes" in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"[" * 200_000, b'"\xff"'])
def test_a_body_that_cannot_be_read_is_said_to_be_so(client: TestClient, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post(f"{API}/models/tiny-a/search/rule", content=body, headers=headers)
    assert answer.status_code == 400
    assert "nested too deeply" in answer.json()["detail"]
