"""Cancelling and taking up again, in the database and by the command."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from psycopg.errors import DeadlockDetected
from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import db, partitions
from app.errors import Conflict, InvalidInput, NotFound
from app.jobs import commands, service
from app.models import Scan, Shard
from tests.integration.seed import seed
from tests.integration.seed_jobs import seed_jobs

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def jobs(engine: Engine) -> dict[str, int]:
    seed(engine)
    return seed_jobs(engine)


@pytest.fixture
def unitscope(database_url: str) -> Command:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "UNITSCOPE_DATABASE_URL": database_url},
        )

    return run


def change(engine: Engine, what: Callable[[Session, int], None], job: int) -> Scan:
    with Session(engine, expire_on_commit=False) as session, session.begin():
        what(session, job)
    with Session(engine) as session:
        return session.get_one(Scan, job)


def shards_of(engine: Engine, job: int) -> list[Shard]:
    with Session(engine) as session:
        return list(session.scalars(select(Shard).where(Shard.scan_id == job)))


@pytest.mark.parametrize("kind", ["queued", "running", "merging", "failed", "lost", "cancelled"])
def test_whatever_is_not_complete_can_be_cancelled(
    engine: Engine, jobs: dict[str, int], kind: str
) -> None:
    scan = change(engine, service.cancel, jobs[kind])
    assert (scan.status, scan.error) == ("cancelled", None)
    assert scan.finished_at is not None
    assert shards_of(engine, jobs[kind]) == []


def test_cancelling_drops_what_was_flushed_and_nothing_else(
    engine: Engine, jobs: dict[str, int]
) -> None:
    job, other = jobs["running"], jobs["queued"]
    with engine.begin() as connection:
        partitions.create(connection, ("partials",), job)
        partitions.create(connection, ("partials",), other)
        partitions.prepare(connection, partitions.SCAN_TABLES, job)
        connection.execute(text(f"CREATE TABLE unit_atlas_{job} (source_id int)"))
    change(engine, service.cancel, job)
    left = inspect(engine).get_table_names()
    assert not [name for name in left if name.endswith(f"_{job}")]
    assert f"partials_{other}" in left
    assert len(shards_of(engine, other)) == 5


def test_a_complete_job_cannot_be_cancelled(engine: Engine, jobs: dict[str, int]) -> None:
    with pytest.raises(Conflict, match="is complete"):
        change(engine, service.cancel, jobs["complete"])


def test_a_failed_job_is_queued_with_its_attempts_forgiven(
    engine: Engine, jobs: dict[str, int]
) -> None:
    scan = change(engine, service.retry, jobs["failed"])
    assert (scan.status, scan.error) == ("queued", None)
    shards = shards_of(engine, jobs["failed"])
    assert [(shard.n_attempts, shard.error) for shard in shards] == [(0, None)] * 4
    assert shards[0].status == "done"


@pytest.mark.parametrize("kind", ["cancelled", "lost"])
def test_nothing_left_to_go_on_from_is_said(
    engine: Engine, jobs: dict[str, int], kind: str
) -> None:
    with pytest.raises(InvalidInput, match="unitscope index"):
        change(engine, service.retry, jobs[kind])


@pytest.mark.parametrize("kind", ["queued", "running", "complete"])
def test_what_did_not_fail_is_not_retried(engine: Engine, jobs: dict[str, int], kind: str) -> None:
    with pytest.raises(Conflict, match="only a failed one"):
        change(engine, service.retry, jobs[kind])


@pytest.mark.parametrize("job", [0, -1, 999, 2**31, 2**63, 10**300])
@pytest.mark.parametrize("what", [service.cancel, service.retry])
def test_a_job_that_is_not_there_is_said(
    engine: Engine, what: Callable[[Session, int], None], job: int
) -> None:
    with pytest.raises(NotFound, match="There is no job"):
        change(engine, what, job)


def test_a_deadlock_with_a_worker_is_got_over(
    engine: Engine, jobs: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "get_engine", lambda: engine)
    cancel = service.cancel
    fallen: list[int] = []

    def meet(session: Session, job: int) -> None:
        cancel(session, job)
        if not fallen:
            fallen.append(job)
            raise OperationalError("DELETE", {}, DeadlockDetected())

    monkeypatch.setattr(commands.service, "cancel", meet)
    commands.cancel(jobs["queued"])
    assert fallen == [jobs["queued"]]
    assert shards_of(engine, jobs["queued"]) == []


def test_the_command_lists_jobs_in_lines_for_programs(
    unitscope: Command, jobs: dict[str, int]
) -> None:
    done = unitscope("jobs")
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    heading = lines[0]
    rows = {int(line[0]): dict(zip(heading, line, strict=True)) for line in lines[1 : 1 + 11]}
    assert rows[jobs["running"]]["status"] == "running"
    assert rows[jobs["running"]]["done"] == "15.6%"
    assert rows[jobs["queued"]]["status"] == "queued"
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout


def test_the_command_prints_json(unitscope: Command, jobs: dict[str, int]) -> None:
    listed: Any = json.loads(unitscope("jobs", "--all", "--json").stdout)
    assert [job["id"] for job in listed["items"]][: len(jobs)] == sorted(
        jobs.values(), reverse=True
    )
    shown: Any = json.loads(unitscope("jobs", "show", str(jobs["running"]), "--json").stdout)
    assert shown == next(job for job in listed["items"] if job["id"] == shown["id"]) | {
        "workers": shown["workers"]
    }


def test_the_command_shows_cancels_and_retries(unitscope: Command, jobs: dict[str, int]) -> None:
    shown = unitscope("jobs", "show", str(jobs["failed"]))
    assert "Out of memory." in shown.stdout
    assert f"unitscope jobs retry {jobs['failed']}" in shown.stdout
    assert "queued again" in unitscope("jobs", "retry", str(jobs["failed"])).stdout
    said = unitscope("jobs", "cancel", str(jobs["failed"])).stdout
    assert "is cancelled. Workers stop within seconds" in said
    refused = unitscope("jobs", "cancel", str(jobs["complete"]))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"unitscope: Job {jobs['complete']} is complete")


def test_without_jobs_the_command_says_how_to_make_one(unitscope: Command) -> None:
    assert "unitscope index" in unitscope("jobs").stdout
