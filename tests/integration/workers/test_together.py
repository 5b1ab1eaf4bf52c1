"""Several processes that index at once: none makes what another makes, none takes it away."""

from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import Engine, select

from app import db
from app.errors import Conflict, InvalidInput
from app.models import Corpus, LanguageModel, Scan, Source, Unit
from workers.jobs import ledger
from workers.jobs.settings import PlannedSource, ScanRequest, ScanSettings
from workers.sinks import models
from workers.sources.language_models import LoadedModel
from workers.sources.stored_windows import WindowSizes
from workers.sources.unit_sources import NeuronSource, neuron_source

FIELDS = ("slug", "kind", "layer", "n_units", "weights_hash")
SETTINGS = ScanSettings(top_k=1, atlas_tokens=1, seed=0, dtype="float32")


@pytest.fixture
def model_id(engine: Engine, model: LoadedModel, tokenizer_id: int) -> int:
    with db.session(engine) as session:
        return models.store_model(session, model, tokenizer_id, None).id


@pytest.fixture
def begin(
    engine: Engine, model: LoadedModel, tokenizer_id: int, model_id: int
) -> Callable[[str], int]:
    def begin(name: str) -> int:
        empty = {"context": 2, "has_bos": False, "is_packed": False, "details": {}}
        counts = {"n_documents": 0, "n_windows": 0, "n_tokens": 0}
        with db.session(engine) as session:
            named = {"slug": name, "name": name, "hash": name, "tokenizer_id": tokenizer_id}
            corpus = Corpus(**named, **empty, **counts)
            session.add(corpus)
            session.flush()
            source = neuron_source(model, 0)
            planned = PlannedSource(
                id=models.store_source(session, model_id, source),
                spec=None,
                **{field: getattr(source, field) for field in FIELDS},
            )
            request = ScanRequest(
                model=name,
                revision=None,
                needs_remote_code=False,
                weights_hash=model.weights_hash,
                tokenizer_hash=model.tokenizer_hash,
                context=2,
                sources=[planned],
            )
            sizes = WindowSizes(*np.zeros((2, 0), np.int32))
            more = {"priority": 0, "least_shard_tokens": 1}
            return ledger.begin(session, model_id, corpus, SETTINGS, request, sizes, **more).id

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
def test_a_source_that_two_scans_begin_with_is_stored_once(
    engine: Engine, model: LoadedModel, model_id: int
) -> None:
    source = neuron_source(model, 0)
    first, second = at_once(engine, lambda session: models.store_source(session, model_id, source))
    assert first == second
    assert count(engine, Source) == 1


def test_a_slug_that_another_scan_gives_away_meanwhile_is_a_conflict(
    engine: Engine, model: LoadedModel, model_id: int
) -> None:
    given = neuron_source(model, 0)
    sources = [given, replace(neuron_source(model, 1), slug=given.slug)]
    found = at_once(engine, lambda session: models.store_source(session, model_id, sources.pop()))
    assert isinstance(found[1], Conflict)
    assert count(engine, Source) == 1


def test_a_scan_that_fails_leaves_sources_that_another_scan_reads(
    engine: Engine, begin: Callable[[str], int]
) -> None:
    first, second = begin("one"), begin("two")
    ledger.fail(engine, first, "out of luck", is_final=True)
    assert count(engine, Source) == 1
    ledger.fail(engine, second, "out of luck", is_final=True)
    assert count(engine, Source) == 0
    with db.session(engine) as session:
        assert [scan.error for scan in session.scalars(select(Scan))] == ["out of luck"] * 2


def test_a_model_that_only_failed_gives_its_name_to_another(
    engine: Engine, model: LoadedModel, tokenizer_id: int, begin: Callable[[str], int]
) -> None:
    ledger.fail(engine, begin("one"), "out of luck", is_final=True)
    other = replace(model, weights_hash="other")
    with db.session(engine) as session:
        old = session.scalars(select(LanguageModel)).one()
        new = models.store_model(session, other, tokenizer_id, old.slug)
        assert new.slug == old.slug
    assert count(engine, LanguageModel) == 1


def test_a_model_that_is_being_scanned_keeps_its_name(
    engine: Engine, model: LoadedModel, tokenizer_id: int, begin: Callable[[str], int]
) -> None:
    begin("one")
    with db.session(engine) as session:
        slug = session.scalars(select(LanguageModel.slug)).one()
        with pytest.raises(Conflict, match="Pass another --name"):
            models.store_model(session, replace(model, weights_hash="other"), tokenizer_id, slug)


def test_broken_directions_have_no_logit_lens(
    engine: Engine, model: LoadedModel, model_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    directions = model.neuron_directions(0).clone()
    directions[5, 0] = torch.nan
    monkeypatch.setattr(NeuronSource, "output_directions", lambda _: directions)
    source = neuron_source(model, 0)
    with db.session(engine) as session, pytest.raises(InvalidInput, match=r"mlp-0: .* unit 5 is"):
        source_id = models.store_source(session, model_id, source)
        models.store_units(session, source_id, model, source)


@pytest.mark.both_servers
def test_units_that_two_scans_store_are_stored_once(
    engine: Engine, model: LoadedModel, model_id: int
) -> None:
    source = neuron_source(model, 0)
    with db.session(engine) as session:
        source_id = models.store_source(session, model_id, source)
    at_once(engine, lambda session: models.store_units(session, source_id, model, source))
    assert count(engine, Unit) == source.n_units


def count(engine: Engine, entity: Any) -> int:
    with db.session(engine) as session:
        return len(session.scalars(select(entity)).all())
