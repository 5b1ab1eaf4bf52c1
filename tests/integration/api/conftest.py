"""A seeded database and a client of the application on it; the tests of this folder only read."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from app.main import create_app
from tests.integration.seed import Seeded, seed

Get = Callable[..., Any]


@pytest.fixture(scope="module")
def seeded(module_engine: Engine) -> Seeded:
    return seed(module_engine)


@pytest.fixture(scope="module")
def client(module_engine: Engine, seeded: Seeded) -> Iterator[TestClient]:
    with TestClient(create_app(module_engine)) as client:
        yield client


@pytest.fixture(scope="module")
def get(client: TestClient) -> Get:
    """The JSON at a path under /api/v1, which must be there; keywords are its parameters."""

    def get(path: str, **parameters: Any) -> Any:
        answer = client.get(f"/api/v1{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return get


@pytest.fixture(scope="module")
def walk(get: Get) -> Get:
    """All items of a listing, part after part of `limit`."""

    def walk(path: str, limit: int, **parameters: Any) -> list[Any]:
        items, cursor = [], {}
        while True:
            part = get(path, limit=limit, **parameters, **cursor)
            assert len(part["items"]) <= limit
            assert part["items"] or not items
            items += part["items"]
            if part["next"] is None:
                return items
            cursor = {"cursor": part["next"]}

    return walk
