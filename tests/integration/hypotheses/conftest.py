"""A seeded database whose hypotheses are a test's own, a client that may read, and tokens."""

from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from app import db
from app.access import tokens
from app.main import create_app
from tests.integration.seed import Seeded, seed

Bearer = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def seeded(module_engine: Engine) -> Seeded:
    return seed(module_engine)


@pytest.fixture
def client(module_engine: Engine, seeded: Seeded) -> Iterator[TestClient]:
    with TestClient(create_app(module_engine), follow_redirects=False) as client:
        yield client
    with db.session(module_engine) as session:
        session.execute(text("DELETE FROM hypotheses"))
        session.execute(text("DELETE FROM access_tokens"))


@pytest.fixture
def make_token(module_engine: Engine) -> Callable[..., str]:
    def make(name: str = "ada", *scopes: str) -> str:
        with db.session(module_engine) as session:
            return tokens.create(session, name, scopes or ["hypotheses"])

    return make


@pytest.fixture
def bearer(make_token: Callable[..., str]) -> Bearer:
    """The header of a new token."""

    def header(name: str = "ada", *scopes: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {make_token(name, *scopes)}"}

    return header
