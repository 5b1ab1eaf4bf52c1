"""Jobs cancelled and taken up again by REST and from their pages, with a token."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.integration.access.conftest import MakeToken
from tests.integration.seed import seed
from tests.integration.seed_jobs import seed_jobs

OWN = {"Sec-Fetch-Site": "same-origin"}
FORM = OWN | {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def jobs(engine: Engine) -> dict[str, int]:
    seed(engine)
    return seed_jobs(engine)


def _status(client: TestClient, job: int) -> str:
    return str(client.get(f"/api/v1/jobs/{job}").json()["status"])


def test_a_program_cancels_a_job_with_its_token(
    client: TestClient, jobs: dict[str, int], make_token: MakeToken
) -> None:
    bearer = {"Authorization": f"Bearer {make_token('ada', 'jobs')}"}
    answer = client.delete(f"/api/v1/jobs/{jobs['queued']}", headers=bearer)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    answer = client.delete(f"/api/v1/jobs/{jobs['complete']}", headers=bearer)
    assert answer.status_code == 409


def test_a_program_takes_up_a_failed_job(
    client: TestClient, jobs: dict[str, int], make_token: MakeToken
) -> None:
    bearer = {"Authorization": f"Bearer {make_token('ada', 'jobs')}"}
    answer = client.post(f"/api/v1/jobs/{jobs['failed']}/retry", headers=bearer)
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")


def test_without_the_right_token_nothing_is_changed(
    client: TestClient, jobs: dict[str, int], make_token: MakeToken
) -> None:
    path = f"/api/v1/jobs/{jobs['queued']}"
    answer = client.delete(path)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    wrong = {"Authorization": f"Bearer {make_token('ada', 'explanations')}"}
    answer = client.delete(path, headers=wrong)
    assert answer.status_code == 403
    assert "needs jobs" in answer.json()["detail"]
    kept = client.delete(path, headers={"Authorization": "Bearer us_nothing"})
    assert kept.status_code == 401
    assert _status(client, jobs["queued"]) == "queued"


def test_a_cookie_is_no_token_for_programs(
    client: TestClient, jobs: dict[str, int], make_token: MakeToken
) -> None:
    client.post("/sign-in", data={"token": make_token()}, headers=OWN)
    assert client.delete(f"/api/v1/jobs/{jobs['queued']}", headers=OWN).status_code == 401


def test_a_button_asks_for_a_token_once_and_does_what_was_asked(
    client: TestClient, jobs: dict[str, int], make_token: MakeToken
) -> None:
    asked = client.post(f"/jobs/{jobs['queued']}/cancel", headers=FORM)
    assert asked.status_code == 401
    assert f'action="/jobs/{jobs["queued"]}/cancel"' in asked.text
    typed = {"token": make_token()}
    answer = client.post(f"/jobs/{jobs['queued']}/cancel", data=typed, headers=OWN)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{jobs['queued']}")
    assert _status(client, jobs["queued"]) == "cancelled"
    answer = client.post(f"/jobs/{jobs['failed']}/retry", headers=FORM)
    assert answer.status_code == 303
    assert _status(client, jobs["failed"]) == "queued"


def test_the_address_of_a_button_leads_to_its_page(
    client: TestClient, jobs: dict[str, int]
) -> None:
    for verb in ("cancel", "retry"):
        answer = client.get(f"/jobs/{jobs['queued']}/{verb}")
        assert answer.headers["location"] == f"/jobs/{jobs['queued']}"
    assert client.get("/sign-out").headers["location"] == "/sign-in"


def test_a_button_on_another_site_does_nothing(
    client: TestClient, jobs: dict[str, int], make_token: MakeToken
) -> None:
    client.post("/sign-in", data={"token": make_token()}, headers=OWN)
    cross = FORM | {"Sec-Fetch-Site": "cross-site"}
    assert client.post(f"/jobs/{jobs['queued']}/cancel", headers=cross).status_code == 403
    assert _status(client, jobs["queued"]) == "queued"
