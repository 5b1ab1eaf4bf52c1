"""The pages of jobs: every state in words, live while it changes, hostile texts as text."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, delete, text, update
from sqlalchemy.orm import Session

from app.main import create_app
from app.models import Scan, Shard, Worker
from tests.integration.pages.markup import Element, links, parse
from tests.integration.seed import seed
from tests.integration.seed_jobs import HOSTILE, add_job, add_worker, change_shard, seed_jobs

HTMX = {"HX-Request": "true"}
KINDS = ["complete", "old", "failed", "lost", "cancelled", "queued", "running", "merging"]


@pytest.fixture(scope="module")
def jobs(module_engine: Engine) -> dict[str, int]:
    seed(module_engine)
    return seed_jobs(module_engine)


@pytest.fixture(scope="module")
def client(module_engine: Engine, jobs: dict[str, int]) -> Iterator[TestClient]:
    with TestClient(create_app(module_engine)) as client:
        yield client


@pytest.fixture(autouse=True)
def _workers_stay_alive(module_engine: Engine, jobs: dict[str, int]) -> None:
    lately = "seen_at BETWEEN now() - interval '10 min' AND now() + interval '1 min'"
    with module_engine.begin() as connection:
        connection.execute(text(f"UPDATE workers SET seen_at = now() WHERE {lately}"))


def words(element: Element) -> str:
    return " ".join(element.text.split())


def job_page(client: TestClient, job: int) -> Element:
    reply = client.get(f"/jobs/{job}")
    assert reply.status_code == 200
    return parse(reply.text)


def part(page: Element) -> Element:
    return next(each for each in page.all("div") if each.attributes.get("id") == "progress")


@pytest.mark.parametrize("kind", KINDS)
def test_every_state_is_a_page_without_markup_from_outside(
    client: TestClient, jobs: dict[str, int], kind: str
) -> None:
    reply = client.get(f"/jobs/{jobs[kind]}")
    assert reply.status_code == 200
    assert "<img" not in reply.text and "onerror" not in reply.text.replace("x onerror", "")
    page = parse(reply.text)
    assert len(page.all("h1")) == 1
    for link in links(page):
        assert client.get(link, follow_redirects=False).status_code == 200, link


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("complete", "complete 100%"),
        ("failed", "failed 50.0%"),
        ("lost", "The weights are not a model."),
        ("cancelled", "begin anew"),
        ("queued", "4 workers are alive, and not at this job yet."),
        ("running", "Shard 4, windows 400 to 499 tried 3 times"),
        ("merging", "is merged and stored now"),
    ],
)
def test_a_state_is_told_in_words(
    client: TestClient, jobs: dict[str, int], kind: str, said: str
) -> None:
    text = words(job_page(client, jobs[kind]))
    assert said in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_asks_again_only_while_the_job_is_unfinished(
    client: TestClient, jobs: dict[str, int], kind: str
) -> None:
    page = job_page(client, jobs[kind])
    is_live = kind in ("queued", "running", "merging")
    assert ("hx-trigger" in part(page).attributes) is is_live
    assert bool(page.all("noscript")) is is_live


@pytest.mark.parametrize("kind", KINDS)
def test_htmx_gets_the_part_that_the_page_shows(
    client: TestClient, jobs: dict[str, int], kind: str
) -> None:
    fragment = client.get(f"/jobs/{jobs[kind]}", headers=HTMX)
    assert "<html" not in fragment.text
    (only,) = parse(fragment.text).all("div")[:1]
    assert words(only) == words(part(job_page(client, jobs[kind])))


def test_a_poll_that_brings_nothing_new_costs_a_304(
    client: TestClient, jobs: dict[str, int]
) -> None:
    for path in (f"/jobs/{jobs['running']}", "/jobs"):
        tag = client.get(path, headers=HTMX).headers["ETag"]
        again = client.get(path, headers={**HTMX, "If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")


def test_the_list_has_every_job_and_every_worker_that_is_alive(
    client: TestClient, jobs: dict[str, int]
) -> None:
    page = parse(client.get("/jobs").text)
    found = links(page)
    assert {f"/jobs/{job}" for job in jobs.values()} <= found
    (table,) = page.all("table", "workers")
    names = [words(row.all("td")[0]) for row in table.all("tbody")[0].all("tr")]
    assert sorted(names) == sorted([" ".join(HOSTILE.split()), "host:1234", "host:2", "idle:1"])


def test_a_strip_says_each_shards_state_in_words(client: TestClient, jobs: dict[str, int]) -> None:
    (strip,) = job_page(client, jobs["running"]).all("ol", "strip")
    cells = strip.all("li")
    assert [cell.classes[0] for cell in cells[:5]] == [
        "done",
        "done",
        "running",
        "waiting",
        "troubled",
    ]
    assert all(cell.attributes["title"] in cell.text for cell in cells)


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/jobs/0", 404),
        ("/jobs/-1", 404),
        ("/jobs/9223372036854775808", 404),
        ("/jobs/99999999999999999999999999", 404),
        ("/jobs/seven", 422),
        ("/jobs/1.5", 422),
        ("/jobs?cursor=word", 422),
    ],
)
def test_stray_addresses_are_clean_errors(client: TestClient, address: str, status: int) -> None:
    reply = client.get(address)
    assert reply.status_code == status
    assert len(parse(reply.text).all("p", "problem")[0].text) > 20


def test_every_page_leads_to_the_jobs(client: TestClient) -> None:
    assert "/jobs" in links(parse(client.get("/").text))


@pytest.fixture
def alone(engine: Engine) -> Iterator[tuple[Session, TestClient]]:
    """A database of the test's own, with a model and no unfinished job."""
    seed(engine)
    with Session(engine) as session, TestClient(create_app(engine)) as client:
        yield session, client


def test_jobs_without_a_worker_say_how_to_start_one(alone: Any) -> None:
    session, client = alone
    job = add_job(session, "queued", n_shards=3, n_tokens=1000)
    session.commit()
    for path in ("/jobs", f"/jobs/{job}"):
        assert "o worker is alive. unitscope worker" in words(parse(client.get(path).text))
    add_worker(session, None, None)
    session.commit()
    assert "o worker is alive" not in client.get("/jobs").text


def test_a_running_job_whose_worker_died_waits(alone: Any) -> None:
    session, client = alone
    job = add_job(session, "running", n_shards=3, n_tokens=1000)
    add_worker(session, job, 0, seconds_ago=16)
    session.commit()
    page = job_page(client, job)
    assert "begun, waiting for a worker" in words(page)
    assert "No worker is alive" in words(page)


def test_a_scan_without_shards_wants_no_worker(alone: Any) -> None:
    session, client = alone
    job = add_job(session, "running", n_tokens=1000, n_tokens_done=250)
    session.commit()
    text = words(job_page(client, job))
    assert "running 25.0%" in text
    assert "No worker is alive" not in text


def test_without_jobs_the_page_says_how_to_index(alone: Any) -> None:
    session, client = alone
    session.execute(delete(Scan))
    session.commit()
    text = words(parse(client.get("/jobs").text))
    assert "unitscope index MODEL --corpus CORPUS" in text
    assert "hx-trigger" not in client.get("/jobs").text


def test_the_list_goes_on_page_by_page(alone: Any) -> None:
    session, client = alone
    added = [add_job(session, "failed", error="…") for _ in range(45)]
    session.commit()
    seen, address = [], "/jobs"
    while address:
        page = parse(client.get(address).text)
        names = page.all("div", "name")
        seen += [int(name.all("a")[0].attributes["href"].rpartition("/")[2]) for name in names]
        following = [a for a in page.all("a") if a.attributes.get("rel") == "next"]
        address = following[0].attributes["href"] if following else ""
    assert seen == sorted(seen, reverse=True)
    assert set(added) <= set(seen)


def test_thousands_of_shards_are_one_small_strip(alone: Any) -> None:
    session, client = alone
    job = add_job(session, "running", n_shards=5000, n_tokens=5_000_000)
    half = (Shard.scan_id == job) & (Shard.index < 2500)
    session.execute(update(Shard).where(half).values(status="done", n_tokens_done=Shard.n_tokens))
    broken = (Shard.scan_id == job) & (Shard.index >= 4000)
    session.execute(update(Shard).where(broken).values(error=HOSTILE * 100, n_attempts=2))
    session.execute(update(Worker).values(seen_at=text("now()")))
    session.commit()
    reply = client.get(f"/jobs/{job}", headers=HTMX)
    page = parse(reply.text)
    assert len(page.all("ol", "strip")[0].all("li")) <= 400
    assert "And 990 more." in words(page)
    assert len(reply.content) < 150_000


def test_a_thousand_times_the_shards_cost_little_more(alone: Any) -> None:
    session, client = alone
    few, many = (
        add_job(session, "running", n_shards=n, n_tokens=5_000_000, settings_hash=f"of-{n}")
        for n in (5, 5000)
    )
    change_shard(session, many, 7, error="once", n_attempts=1)
    session.commit()

    def fastest(job: int) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            assert client.get(f"/jobs/{job}", headers=HTMX).status_code == 200
            times.append(time.perf_counter() - began)
        return min(times)

    assert fastest(many) < 20 * fastest(few)  # a pass over the shards, and none of their rows on it
