"""A seeded database and a client of the application on it; the tests of this folder only read."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from app.main import create_app
from tests.integration.seed import Seeded, seed


@pytest.fixture(scope="module")
def seeded(module_engine: Engine) -> Seeded:
    return seed(module_engine)


@pytest.fixture(scope="module")
def client(module_engine: Engine, seeded: Seeded) -> Iterator[TestClient]:
    with TestClient(create_app(module_engine)) as client:
        yield client
