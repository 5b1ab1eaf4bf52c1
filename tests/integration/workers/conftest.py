"""Tiny models of many architectures, made once a session."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from app import db
from tests.tiny_models import make_model
from workers.sinks.tokenizers import store_tokenizer
from workers.sources.language_models import LoadedModel, load_model
from workers.sources.quiet import quiet

LoadTiny = Callable[[str], LoadedModel]


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of a model of some type; do not write into it."""
    root = tmp_path_factory.mktemp("models")

    @cache
    def make(kind: str) -> Path:
        with quiet():
            return make_model(kind, root / f"tiny-{kind}")

    return make


@pytest.fixture(scope="session")
def load_tiny(model_directory: Callable[[str], Path]) -> LoadTiny:
    """A loaded model of some type, on the CPU in float32."""
    return cache(lambda kind: load_model(str(model_directory(kind)), device="cpu"))


@pytest.fixture
def model(load_tiny: LoadTiny) -> LoadedModel:
    """A tiny GPT-2."""
    return load_tiny("gpt2")


@pytest.fixture
def tokenizer_id(engine: Engine, model: LoadedModel) -> int:
    """Its tokenizer, stored."""
    with db.session(engine) as session:
        return store_tokenizer(session, model)


@pytest.fixture
def tables(engine: Engine) -> Iterator[Callable[[], set[str]]]:
    """The names of all tables that there are now, partitions included."""

    def names() -> set[str]:
        with engine.connect() as connection:
            query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            return {str(name) for (name,) in connection.execute(text(query))}

    yield names
