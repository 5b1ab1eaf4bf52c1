"""A seeded database whose reports on loss are a test's own, a client, and tokens for it."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, select, text, update

from app import db
from app.access import tokens
from app.main import create_app
from app.models import LossReport, Worker
from tests.integration.seed import Seeded, seed
from workers.ablation import LossRecovered
from workers.jobs import loss_claims

FOUND = LossRecovered(100, 5, 1.0, 2.0, 1.5, 0.5, 0.4, 0.6)
Change = Callable[..., None]


@pytest.fixture(scope="module")
def seeded(module_engine: Engine) -> Seeded:
    return seed(module_engine)


@pytest.fixture
def client(module_engine: Engine, seeded: Seeded) -> Iterator[TestClient]:
    with TestClient(create_app(module_engine), follow_redirects=False) as client:
        yield client
    with db.session(module_engine) as session:
        for table in ("loss_reports", "access_tokens", "workers", "procrastinate_jobs"):
            session.execute(text(f"DELETE FROM {table}"))


@pytest.fixture
def secret(module_engine: Engine) -> str:
    """A token that may have things measured."""
    with db.session(module_engine) as session:
        return tokens.create(session, "ada", ["jobs"])


@pytest.fixture
def change(module_engine: Engine) -> Change:
    """Changes the columns of all reports."""

    def change(**values: object) -> None:
        with db.session(module_engine) as session:
            session.execute(update(LossReport).values(**values))

    return change


@pytest.fixture
def complete(module_engine: Engine) -> Callable[[], None]:
    """What a worker does with all reports that there are."""

    def complete() -> None:
        with db.session(module_engine) as session:
            for report in session.scalars(select(LossReport)):
                loss_claims._write(report, FOUND)

    return complete


@pytest.fixture
def start_worker(module_engine: Engine) -> Callable[..., None]:
    """A worker that is alive, and serves these queues (None: all)."""

    def start(queues: list[str] | None = None) -> None:
        with db.session(module_engine) as session:
            more = {"name": "here:1", "device": "cpu", "doing": "waiting", "n_tokens_done": 0}
            session.add(Worker(id=uuid4(), queues=queues, **more))

    return start
