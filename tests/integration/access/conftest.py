"""The application on a database that these tests write to, and tokens for it."""

from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from app import db
from app.access import tokens
from app.main import create_app

MakeToken = Callable[..., str]


@pytest.fixture
def client(engine: Engine) -> Iterator[TestClient]:
    with TestClient(create_app(engine), follow_redirects=False) as client:
        yield client


@pytest.fixture
def make_token(engine: Engine) -> MakeToken:
    def make(name: str = "ada", *scopes: str) -> str:
        with db.session(engine) as session:
            return tokens.create(session, name, scopes or tokens.SCOPES)

    return make
