"""A seeded database to damage, and atlases of it as they are found there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.atlas.cache import Cache
from app.atlas.opened import OpenAtlas, OpenDirections
from app.atlas.queries import atlases, directions
from app.atlas.stored import Stored
from app.sources.queries import find_source
from tests.integration.seed import Seeded, seed

GIGABYTE = 10**9


@pytest.fixture(scope="module")
def seeded(module_engine: Engine) -> Seeded:
    return seed(module_engine)


@pytest.fixture
def session(module_engine: Engine, seeded: Seeded) -> Iterator[Session]:
    """What a test does to the database is undone at its end."""
    with Session(module_engine) as session:
        yield session
        session.rollback()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache" / "atlas", GIGABYTE)


def find_atlas(session: Session, source: str, model: str = "tiny-a") -> Stored[OpenAtlas]:
    """The atlas of a source over the corpus `code`."""
    found = find_source(session, model, source)
    stored = atlases(session, [found], found.scans[0])[0].stored
    assert stored is not None
    return stored


def find_directions(session: Session, source: str) -> Stored[OpenDirections]:
    found = find_source(session, "tiny-a", source)
    stored = directions(session, [found], found.scans[0])[0].stored
    assert stored is not None
    return stored
