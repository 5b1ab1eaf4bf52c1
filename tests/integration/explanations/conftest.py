"""A seeded, labelled database whose explanations are a test's own, a client, and tokens."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from app import db
from app.access import tokens
from app.labels.making import label_model
from app.main import create_app
from tests.integration.seed import Seeded, seed

MakeToken = Callable[..., str]
Bearer = Callable[..., dict[str, str]]
Say = Callable[..., Any]


@pytest.fixture(scope="module")
def seeded(module_engine: Engine) -> Seeded:
    """All labels of `tiny-a` over `code` count as explaining: noise has none that do."""
    seeded = seed(module_engine)
    label_model(module_engine, "tiny-a", "code", lambda _: None)
    with module_engine.begin() as connection:
        connection.execute(text("UPDATE labels SET is_explained = true"))
    return seeded


@pytest.fixture
def client(module_engine: Engine, seeded: Seeded) -> Iterator[TestClient]:
    with TestClient(create_app(module_engine), follow_redirects=False) as client:
        yield client
    with db.session(module_engine) as session:
        session.execute(text("DELETE FROM explanations"))
        session.execute(text("DELETE FROM access_tokens"))


@pytest.fixture
def make_token(module_engine: Engine) -> MakeToken:
    def make(name: str = "ada", *scopes: str) -> str:
        with db.session(module_engine) as session:
            return tokens.create(session, name, scopes or ["explanations"])

    return make


@pytest.fixture
def bearer(make_token: MakeToken) -> Bearer:
    """The header of a person's token, always the same."""
    known: dict[tuple[str, ...], str] = {}

    def header(name: str = "ada", *scopes: str) -> dict[str, str]:
        if (name, *scopes) not in known:
            known[name, *scopes] = make_token(name, *scopes)
        return {"Authorization": f"Bearer {known[name, *scopes]}"}

    return header


@pytest.fixture
def say(client: TestClient, bearer: Bearer) -> Say:
    """Says a text of a unit of `tiny-a`, and answers with the explanation."""

    def say(unit: str, text: str, author: str = "ada") -> Any:
        source, _, index = unit.partition("/")
        path = f"/api/v1/models/tiny-a/sources/{source}/units/{index}/explanations"
        answer = client.post(path, json={"text": text}, headers=bearer(author))
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    return say
