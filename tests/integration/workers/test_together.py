"""Several processes that index at once: none makes what another makes, none takes it away."""

from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest
import torch
from sqlalchemy import Engine, select

from app import db
from app.errors import Conflict, InvalidInput
from app.models import Corpus, LanguageModel, Scan, Source
from workers import ledger
from workers.sinks import models
from workers.sources.language_models import LoadedModel
from workers.sources.unit_sources import NeuronSource, neuron_source

SETTINGS = ledger.ScanSettings(top_k=1, atlas_tokens=1, seed=0, dtype="float32")


@pytest.fixture
def model_id(engine: Engine, model: LoadedModel, tokenizer_id: int) -> int:
    with db.session(engine) as session:
        return models.store_model(session, model, tokenizer_id, None).id


@pytest.fixture
def begin(engine: Engine, tokenizer_id: int, model_id: int) -> Callable[[str], int]:
    def begin(name: str) -> int:
        empty = {"context": 2, "has_bos": False, "is_packed": False, "details": {}}
        counts = {"n_documents": 0, "n_windows": 0, "n_tokens": 0}
        with db.session(engine) as session:
            named = {"slug": name, "name": name, "hash": name, "tokenizer_id": tokenizer_id}
            corpus = Corpus(**named, **empty, **counts)
            session.add(corpus)
            session.flush()
            return ledger.begin(session, model_id, corpus.id, SETTINGS, {})

    return begin


def at_once(engine: Engine, store: Callable[[Any], Any]) -> list[Any]:
    """What two processes get from `store`, the second one starting before the first commits."""
    found: list[Any] = []

    def second() -> None:
        try:
            with db.session(engine) as session:
                found.append(store(session))
        except Conflict as error:
            found.append(error)

    with db.session(engine) as session:
        found.append(store(session))
        thread = Thread(target=second)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive(), "the second did not wait for the first"
    thread.join(30)
    return found


@pytest.mark.both_servers
def test_a_model_that_two_begin_with_is_stored_once(
    engine: Engine, model: LoadedModel, tokenizer_id: int
) -> None:
    first, second = at_once(
        engine, lambda session: models.store_model(session, model, tokenizer_id, None).id
    )
    assert first == second
    assert count(engine, LanguageModel) == 1


@pytest.mark.both_servers
def test_a_source_that_two_scans_complete_is_stored_once(
    engine: Engine, model: LoadedModel, model_id: int
) -> None:
    source = neuron_source(model, 0)
    first, second = at_once(
        engine, lambda session: models.store_source(session, model_id, model, source)
    )
    assert first == second
    assert count(engine, Source) == 1


def test_a_slug_that_another_scan_gives_away_meanwhile_is_a_conflict(
    engine: Engine, model: LoadedModel, model_id: int
) -> None:
    given = neuron_source(model, 0)
    sources = [given, replace(neuron_source(model, 1), slug=given.slug)]
    found = at_once(
        engine, lambda session: models.store_source(session, model_id, model, sources.pop())
    )
    assert isinstance(found[1], Conflict)
    assert count(engine, Source) == 1


def test_a_scan_that_fails_leaves_a_model_that_another_scan_reads(
    engine: Engine, begin: Callable[[str], int]
) -> None:
    first, second = begin("one"), begin("two")
    ledger.fail(engine, first, "out of luck")
    assert count(engine, LanguageModel) == 1
    assert count(engine, Scan) == 2
    ledger.fail(engine, second, "out of luck")
    assert count(engine, LanguageModel) == 0


def test_broken_directions_have_no_logit_lens(
    engine: Engine, model: LoadedModel, model_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    directions = model.neuron_directions(0).clone()
    directions[5, 0] = torch.nan
    monkeypatch.setattr(NeuronSource, "output_directions", lambda _: directions)
    with db.session(engine) as session, pytest.raises(InvalidInput, match=r"mlp-0: .* unit 5 is"):
        models.store_source(session, model_id, model, neuron_source(model, 0))


def count(engine: Engine, entity: Any) -> int:
    with db.session(engine) as session:
        return len(session.scalars(select(entity)).all())
