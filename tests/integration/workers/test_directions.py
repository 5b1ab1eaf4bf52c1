"""Output directions as they are stored: in pieces, at length one, whatever was there before."""

from hashlib import blake2b

import numpy as np
import pytest
from sqlalchemy import Engine, delete, select

from app import db
from app.models import Directions, Unit
from workers.sinks import directions, models
from workers.sources.language_models import LoadedModel
from workers.sources.unit_sources import UnitSource, neuron_source


@pytest.fixture
def source(model: LoadedModel) -> UnitSource:
    return neuron_source(model, 0)


@pytest.fixture
def source_id(engine: Engine, model: LoadedModel, tokenizer_id: int, source: UnitSource) -> int:
    with db.session(engine) as session:
        model_id = models.store_model(session, model, tokenizer_id, None).id
        return models.store_source(session, model_id, source)


def stored(engine: Engine) -> list[tuple[int, bytes]]:
    with db.session(engine) as session:
        rows = session.scalars(select(Directions).order_by(Directions.first_unit)).all()
        for row in rows:
            assert row.hash == blake2b(row.vectors, digest_size=16).hexdigest()
        return [(row.first_unit, row.vectors) for row in rows]


def fill(engine: Engine, source_id: int, model: LoadedModel, source: UnitSource) -> None:
    with db.session(engine) as session:
        models.store_units(session, source_id, model, source)


def test_a_source_stored_before_directions_were_gets_them(
    engine: Engine, model: LoadedModel, source: UnitSource, source_id: int
) -> None:
    fill(engine, source_id, model, source)
    expected = stored(engine)
    with db.session(engine) as session:
        session.execute(delete(Directions))
        lens = session.scalars(select(Unit.promoted_values).order_by(Unit.index)).all()
    fill(engine, source_id, model, source)
    assert stored(engine) == expected
    with db.session(engine) as session:
        assert session.scalars(select(Unit.promoted_values).order_by(Unit.index)).all() == lens


def test_filling_again_changes_nothing(
    engine: Engine, model: LoadedModel, source: UnitSource, source_id: int
) -> None:
    fill(engine, source_id, model, source)
    expected = stored(engine)
    fill(engine, source_id, model, source)
    assert stored(engine) == expected


def test_pieces_follow_one_another_and_nothing_has_length_zero_but_zero(
    engine: Engine, source_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    given[3], given[4] = 0, given[4] * 1e-30
    monkeypatch.setattr(directions, "PIECE_BYTES", 2 * 5 * 3)  # three units a piece
    with db.session(engine) as session:
        directions.write_directions(session.connection(), source_id, given)
    assert [first for first, _ in stored(engine)] == [0, 3, 6]
    found = np.frombuffer(b"".join(part for _, part in stored(engine)), "<f2").reshape(7, 5)
    lengths = np.linalg.norm(given.astype(float), axis=1, keepdims=True)
    expected = given / np.where(lengths == 0, 1, lengths)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert (found[3] == 0).all()
