"""The page of a job while the job goes on: its rows change underneath, as workers change them."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine, delete
from sqlalchemy.orm import Session

from app.models import Scan, Shard, Worker
from tests.e2e.conftest import Browse, serve
from tests.e2e.test_tour import contrast
from tests.integration.seed import seed
from tests.integration.seed_jobs import BEGUN, add_job, add_worker, change_shard, seed_jobs

TWO_POLLS_MS = 4500
RELOAD_MS = 15_000


@pytest.fixture(scope="module")
def jobs(module_engine: Engine) -> dict[str, int]:
    seed(module_engine)
    return seed_jobs(module_engine)


@pytest.fixture(scope="module")
def site(module_engine: Engine, jobs: dict[str, int]) -> Iterator[str]:
    """The site on a seeded database, which a test can change."""
    url = module_engine.url.set(drivername="postgresql")
    address = url.render_as_string(hide_password=False)
    yield from serve({**os.environ, "UNITSCOPE_DATABASE_URL": address})


@pytest.fixture
def job(module_engine: Engine, jobs: dict[str, int]) -> int:
    """A job of 5,000 tokens with a worker at its first shard."""
    with Session(module_engine) as session, session.begin():
        job = add_job(session, "running", n_shards=7, n_tokens=5000, started_at=BEGUN)
        add_worker(session, job, 0, name="the-worker:1")
        change_shard(session, job, 0, status="running")
    return job


def advance(engine: Engine, job: int, n_done: int) -> None:
    with Session(engine) as session, session.begin():
        for index in range(n_done):
            change_shard(session, job, index, status="done")


def complete(engine: Engine, job: int) -> None:
    """As the last worker does it: in one transaction, and the shards are gone."""
    with Session(engine) as session, session.begin():
        session.execute(delete(Shard).where(Shard.scan_id == job))
        session.execute(delete(Worker).where(Worker.scan_id == job))
        scan = session.get_one(Scan, job)
        scan.status, scan.n_tokens_done, scan.finished_at = "complete", 5000, BEGUN


def share(page: Page) -> float:
    return float(page.locator("progress.done").first.evaluate("bar => bar.value"))


def test_the_bar_moves_and_polling_stops_at_the_end(
    page: Page, module_engine: Engine, job: int, strangers: list[str]
) -> None:
    polls: list[str] = []
    page.goto(f"/jobs/{job}")
    page.on("request", lambda request: polls.append(request.url))
    expect(page.locator("#progress .state")).to_contain_text("running")
    expect(page.get_by_text("the-worker:1")).to_be_visible()
    assert share(page) == 0

    advance(module_engine, job, 3)
    expect(page.locator("#progress .state")).to_contain_text("40.0%")
    assert share(page) == pytest.approx(0.4)
    expect(page.locator(".strip li.done")).to_have_count(3)

    complete(module_engine, job)
    expect(page.locator("#progress .state")).to_contain_text("complete")
    expect(page.locator("#token-read-out")).to_have_text("The job is complete.")
    expect(page.get_by_role("link", name="mlp-0", exact=True)).to_be_visible()
    assert share(page) == 1
    n_polls = polls.count(page.url)
    assert n_polls > 1
    page.wait_for_timeout(TWO_POLLS_MS)
    assert polls.count(page.url) == n_polls

    page.get_by_role("link", name="mlp-0", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("mlp-0")
    assert strangers == []


def test_a_poll_that_brings_nothing_new_leaves_the_page_alone(page: Page, job: int) -> None:
    page.goto(f"/jobs/{job}")
    with page.expect_response(f"**/jobs/{job}"):
        pass
    page.evaluate("document.querySelector('#progress').mark = 'same'")
    with page.expect_response(f"**/jobs/{job}"):
        pass
    page.wait_for_timeout(500)
    assert page.evaluate("document.querySelector('#progress').mark") == "same"


def test_a_server_that_does_not_answer_is_said(page: Page, job: int) -> None:
    page.goto(f"/jobs/{job}")
    expect(page.locator(".stale")).to_be_hidden()
    page.route(f"**/jobs/{job}", lambda route: route.abort())
    expect(page.locator(".stale")).to_be_visible()
    page.unroute(f"**/jobs/{job}")
    expect(page.locator(".stale")).to_be_hidden()


def test_without_javascript_the_page_loads_itself_anew(
    browse: Browse, module_engine: Engine, job: int
) -> None:
    page = browse(java_script_enabled=False)
    page.goto(f"/jobs/{job}")
    expect(page.locator("#progress .state")).to_contain_text("running")
    complete(module_engine, job)
    expect(page.locator("#progress .state")).to_contain_text("complete", timeout=RELOAD_MS)


def test_the_list_follows_a_job_to_its_end(page: Page, module_engine: Engine, job: int) -> None:
    page.goto("/jobs")
    row = page.locator("ul.jobs > li", has=page.get_by_role("link", name=f"Job {job}", exact=True))
    expect(row).to_contain_text("0%")
    complete(module_engine, job)
    expect(row).to_contain_text("complete")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_jobs_can_be_read_in_both_schemes_and_widths(
    browse: Browse, jobs: dict[str, int], scheme: str, width: int, strangers: list[str]
) -> None:
    page = browse(color_scheme=scheme, viewport={"width": width, "height": 900})
    for address in ("/jobs", *(f"/jobs/{number}" for number in jobs.values())):
        page.goto(address)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{address} is {wide} wide in a window of {width}"
        assert contrast(page, ".state b") >= 7
        assert contrast(page, ".spread") >= 4.5
    assert strangers == []
