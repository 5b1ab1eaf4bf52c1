"""REST: jobs in every state."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from app.main import create_app
from app.models import Scan
from tests.integration.api.conftest import Get
from tests.integration.seed import Seeded
from tests.integration.seed_jobs import HOSTILE, add_worker, seed_jobs


@pytest.fixture(scope="module")
def jobs(module_engine: Engine, seeded: Seeded) -> dict[str, int]:
    return seed_jobs(module_engine)


@pytest.fixture(autouse=True)
def _workers_stay_alive(module_engine: Engine, jobs: dict[str, int]) -> None:
    """However long the tests before took."""
    lately = "seen_at BETWEEN now() - interval '10 min' AND now() + interval '1 min'"
    with module_engine.begin() as connection:
        connection.execute(text(f"UPDATE workers SET seen_at = now() WHERE {lately}"))


def test_jobs_come_newest_first_and_page_by_page(jobs: dict[str, int], walk: Get) -> None:
    found = [job["id"] for job in walk("/jobs", 3)]
    assert found == sorted(found, reverse=True)
    assert set(jobs.values()) <= set(found)


@pytest.mark.parametrize("status", ["queued", "running", "complete", "failed", "cancelled"])
def test_a_status_filters(jobs: dict[str, int], get: Get, status: str) -> None:
    found = get("/jobs", status=status)["items"]
    assert found
    assert {job["status"] for job in found} == {status}


def test_a_model_filters(jobs: dict[str, int], get: Get) -> None:
    assert {job["model"] for job in get("/jobs", model="tiny-b")["items"]} == {"tiny-b"}


def test_a_running_job_counts_what_is_stored_and_what_is_in_hand(
    jobs: dict[str, int], get: Get
) -> None:
    job = get(f"/jobs/{jobs['running']}")
    assert job["n_tokens"] == 8000
    assert job["n_tokens_done"] == 1000 + 250
    assert job["share_done"] == 1250 / 8000
    assert job["tokens_per_second"] == 1234.5
    assert job["seconds_left"] == pytest.approx((8000 - 1250) / 1234.5)
    assert job["seconds_taken"] is None
    assert job["shards"] == {
        "n": 10,
        "n_done": 2,
        "by_status": {"done": 2, "running": 1, "waiting": 7},
    }
    assert [(worker["shard"], worker["tokens_per_second"]) for worker in job["workers"]] == [
        (2, 1234.5),
        (3, None),
    ]


def test_workers_that_were_not_seen_lately_are_not_told(jobs: dict[str, int], get: Get) -> None:
    """Nor is one whose clock was ahead."""
    names = [worker["name"] for worker in get(f"/jobs/{jobs['running']}")["workers"]]
    assert sorted(names) == sorted([HOSTILE, "host:1234"])


def test_a_complete_job_links_its_units(jobs: dict[str, int], get: Get, client: TestClient) -> None:
    job = get(f"/jobs/{jobs['complete']}")
    assert (job["n_tokens_done"], job["share_done"], job["seconds_taken"]) == (5000, 1.0, 192.0)
    assert job["shards"] == {"n": 0, "n_done": 0, "by_status": {}}
    pages = {source["source"]: source["page"] for source in job["sources"]}
    assert pages == {
        "mlp-0": "/tiny-a/mlp-0?corpus=code",
        "sae-1": "/tiny-a/sae-1?corpus=code",
        HOSTILE: None,
        "not an object": None,
    }
    for link in [*job["links"].values(), *filter(None, pages.values())]:
        assert client.get(link).status_code == 200


def test_a_job_of_before_there_were_requests_has_its_sources(
    jobs: dict[str, int], get: Get
) -> None:
    job = get(f"/jobs/{jobs['old']}")
    assert [source["source"] for source in job["sources"]] == ["mlp-0", "mlp-1"]
    assert job["n_tokens"] == job["n_tokens_done"] == 4000
    assert job["seconds_taken"] is None, "its clock was set back"
    assert "sources" not in job["settings"]


def test_a_failed_job_says_why(jobs: dict[str, int], get: Get) -> None:
    job = get(f"/jobs/{jobs['failed']}")
    assert job["error"] == HOSTILE
    assert job["seconds_left"] is None
    lost = get(f"/jobs/{jobs['lost']}")
    assert (lost["n_tokens"], lost["share_done"]) == (0, None)


@pytest.mark.parametrize("job", ["0", "-1", "999999", "2147483648", str(2**63), "9" * 300])
def test_a_job_that_is_not_there_is_not_found(client: TestClient, job: str) -> None:
    answer = client.get(f"/api/v1/jobs/{job}")
    assert answer.status_code == 404
    assert "There is no job" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/jobs/seven", 422, "job='seven'"),
        ("/jobs?status=done", 422, "'cancelled'"),
        ("/jobs?cursor=word", 422, "cursor="),
        ("/jobs?model=nope", 404, "tiny-a, tiny-b"),
        ("/jobs?model=%00", 404, "tiny-a, tiny-b"),
        ("/jobs?modl=x", 422, "Did you mean model?"),
    ],
)
def test_what_cannot_be_used_is_named(
    client: TestClient, path: str, status: int, said: str
) -> None:
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == status
    assert said in answer.json()["detail"]


def test_a_cursor_goes_with_its_status(jobs: dict[str, int], get: Get, client: TestClient) -> None:
    cursor = get("/jobs", status="complete", limit=1)["next"]
    assert client.get("/api/v1/jobs", params={"cursor": cursor}).status_code == 422


@pytest.fixture
def alone(engine: Engine) -> Iterator[tuple[Engine, TestClient, dict[str, int]]]:
    """A database of the test's own, to change."""
    from tests.integration.seed import seed

    seed(engine)
    with TestClient(create_app(engine)) as client:
        yield engine, client, seed_jobs(engine)


def test_a_job_goes_with_its_model(alone: Any) -> None:
    engine, client, jobs = alone
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM language_models WHERE slug = 'tiny-a'"))
    for path in (f"/api/v1/jobs/{jobs['running']}", f"/jobs/{jobs['running']}"):
        assert client.get(path).status_code == 404
    assert [job["model"] for job in client.get("/api/v1/jobs").json()["items"]] == ["tiny-b"]
    assert client.get("/jobs").status_code == 200, "its workers are still told"


def test_nobody_works_on_a_complete_job(alone: Any) -> None:
    """Its last worker's row says otherwise until it beats again."""
    engine, client, jobs = alone
    with Session(engine) as session, session.begin():
        add_worker(session, jobs["complete"], 3)
    assert client.get(f"/api/v1/jobs/{jobs['complete']}").json()["workers"] == []


def test_no_share_is_above_all(alone: Any) -> None:
    engine, client, jobs = alone
    with Session(engine) as session, session.begin():
        add_worker(session, jobs["running"], 6, n_tokens_done=2**62, tokens_per_second=1e-38)
        session.get_one(Scan, jobs["queued"]).n_tokens_done = 2**62
    job = client.get(f"/api/v1/jobs/{jobs['running']}").json()
    assert (job["n_tokens_done"], job["share_done"], job["seconds_left"]) == (8000, 1.0, None)
    assert client.get(f"/api/v1/jobs/{jobs['queued']}").json()["share_done"] == 0
