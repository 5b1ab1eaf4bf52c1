"""Recovered loss by REST: asked for, found again, asked twice, taken back."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from tests.integration.evidence.conftest import Change
from tests.integration.seed import ON_SCRIPT

LOSS = f"/api/v1/models/tiny-a/sources/sae-1/units/{ON_SCRIPT}/loss"
RULE = {"tokens": ["</script>"]}


@pytest.fixture
def post(client: TestClient, secret: str) -> Callable[..., Any]:
    def post(**question: Any) -> Any:
        headers = {"Authorization": f"Bearer {secret}"}
        return client.post(LOSS, json={"rule": RULE} | question, headers=headers)

    return post


def n_tasks(engine: Engine) -> int:
    query = text("SELECT count(*) FROM procrastinate_jobs WHERE queue_name = 'loss'")
    with engine.connect() as connection:
        return connection.scalar(query) or 0


def test_asking_queues_it_and_says_where_to_look(
    client: TestClient, post: Callable[..., Any], module_engine: Engine, seeded: object
) -> None:
    answer = post(n_windows=8, seed=2**32 - 1)
    assert answer.status_code == 202, answer.text
    assert (answer.json()["status"], answer.json()["is_served"]) == ("queued", False)
    assert n_tasks(module_engine) == 1
    again = client.get(answer.headers["location"])
    assert again.json() == answer.json()
    assert (again.json()["n_windows"], again.json()["seed"]) == (8, 2**32 - 1)
    assert client.get(again.json()["links"]["page"]).status_code == 200
    tag = {"If-None-Match": again.headers["ETag"]}
    assert client.get(answer.headers["location"], headers=tag).status_code == 304


def test_a_complete_report_is_given_as_it_is_unless_asked_again(
    post: Callable[..., Any], complete: Callable[[], None], client: TestClient
) -> None:
    post()
    complete()
    answer = post()
    assert (answer.status_code, answer.json()["ratio"]) == (200, 0.5)
    assert client.get(answer.headers["location"]).json()["ratio"] == 0.5
    again = post(again=True)
    assert (again.status_code, again.json()["status"], again.json()["ratio"]) == (
        202,
        "queued",
        None,
    )


def test_what_runs_is_left_alone_and_what_failed_is_tried_anew(
    post: Callable[..., Any], change: Change
) -> None:
    post()
    change(status="running", n_attempts=2)
    for again in (False, True):
        answer = post(again=again)
        assert (answer.json()["status"], answer.json()["n_attempts"]) == ("running", 2)
    change(status="failed", error="no luck", n_attempts=3)
    answer = post()
    assert (answer.status_code, answer.json()["n_attempts"], answer.json()["error"]) == (
        202,
        0,
        None,
    )


def test_asking_needs_a_token_and_reading_none(client: TestClient) -> None:
    assert client.post(LOSS, json={"rule": RULE}).status_code == 401
    assert client.delete(LOSS, params={"rule": "/x/"}).status_code == 401
    missing = client.get(LOSS, params={"rule": "/x/"})
    assert missing.status_code == 404
    assert LOSS in missing.json()["detail"]


@pytest.mark.parametrize(
    "question",
    [
        {"n_windows": 0},
        {"n_windows": 4097},
        {"seed": -1},
        {"seed": 2**32},
        {"rule": {"regex": "("}},
        {"rule": "/(/"},
        {"device": "cuda"},
        {"corpus": "x" * 201},
    ],
)
def test_what_cannot_be_measured_is_refused(
    post: Callable[..., Any], question: dict[str, Any]
) -> None:
    assert post(**question).status_code == 422


def test_a_corpus_that_is_not_there_is_not_found(post: Callable[..., Any]) -> None:
    assert post(corpus="nowhere").status_code == 404


def test_what_is_not_complete_can_be_taken_back(
    client: TestClient,
    post: Callable[..., Any],
    change: Change,
    complete: Callable[[], None],
    secret: str,
) -> None:
    headers = {"Authorization": f"Bearer {secret}"}
    for status in ("queued", "running", "failed"):
        href = post().headers["location"]
        change(status=status)
        assert client.delete(href, headers=headers).status_code == 204
        assert client.get(href).status_code == 404
        assert client.delete(href, headers=headers).status_code == 404
    href = post().headers["location"]
    complete()
    assert client.delete(href, headers=headers).status_code == 409
    assert client.get(href).status_code == 200


def test_whether_somebody_measures_is_told(
    post: Callable[..., Any], start_worker: Callable[..., None]
) -> None:
    start_worker(["scan-1"])
    assert post().json()["is_served"] is False
    start_worker()
    assert post().json()["is_served"] is True
