"""Notes hang on units: they outlive the scan that they were made over, and that scan's failure."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app import db
from app.access.tokens import Writer
from app.hypotheses import queries, service
from app.hypotheses.schemas import HypothesisDetail, NewHypothesis
from app.models import Explanation, Hypothesis, LanguageModel, Scan, ScanSource, Source
from app.rules.text import parse
from tests.integration.seed import seed
from workers.sinks import models
from workers.sinks.scans import make_current

WRITER = Writer("ada", frozenset({"hypotheses"}))


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    seed(engine)
    with db.session(engine) as session:
        yield session


@pytest.fixture
def saved(session: Session) -> HypothesisDetail:
    new = NewHypothesis(name="digits", rule=parse(":digit"))
    return service.save(session, "tiny-b", "mlp-0", 5, new, WRITER).hypothesis


def source_of(session: Session, model: str, slug: str) -> Source:
    of_model = (LanguageModel.id == Source.language_model_id) & (LanguageModel.slug == model)
    query = select(Source).join(LanguageModel, of_model).where(Source.slug == slug)
    return session.scalars(query).one()


def rescan(session: Session, scan_id: int, source_id: int) -> Scan:
    """A newer complete scan of the same, made current as workers do it."""
    old = session.get_one(Scan, scan_id)
    was = session.get_one(ScanSource, {"scan_id": scan_id, "source_id": source_id})
    columns = ("language_model_id", "corpus_id", "status", "n_tokens", "n_tokens_done")
    copied = {name: getattr(old, name) for name in (*columns, "atlas_windows", "finished_at")}
    newer = Scan(**copied, settings={}, settings_hash="newer", software_version="9.9.9")
    session.add(newer)
    session.flush()
    make_current(session, was.corpus_id, [source_id], None)
    copied = {n: getattr(was, n) for n in ("n_alive", "n_atlas_positions", "density_histogram")}
    place = {"source_id": source_id, "corpus_id": was.corpus_id}
    session.add(ScanSource(scan_id=newer.id, is_current=True, **place, **copied))
    session.flush()
    return newer


def test_a_newer_scan_leaves_hypotheses_and_their_figures(
    session: Session, saved: HypothesisDetail
) -> None:
    source = source_of(session, "tiny-b", "mlp-0")
    newer = rescan(session, saved.figures.scan, source.id)
    models.drop_unused_sources(session, source.language_model_id)
    session.info.clear()
    assert queries.list_of_unit(session, "tiny-b", "mlp-0", 5).items == [saved]
    assert newer.id != saved.figures.scan


def add_source(session: Session, model_id: int, slug: str) -> Source:
    """One that no scan has completed."""
    place = {"kind": "neuron", "hook_point": "h", "hook_point_out": "h", "layer": 0, "n_units": 1}
    source = Source(language_model_id=model_id, slug=slug, weights_hash=slug, details={}, **place)
    session.add(source)
    session.flush()
    return source


def test_a_failed_scan_takes_only_sources_with_it_of_which_nobody_said_anything(
    session: Session,
) -> None:
    model_id = source_of(session, "tiny-b", "mlp-0").language_model_id
    silent, explained, tested = (
        add_source(session, model_id, slug) for slug in ("silent", "explained", "tested")
    )
    note = {"unit": 0, "author": "ada"}
    session.add(Explanation(source_id=explained.id, text="import", **note))
    rule = {"rule": "{}", "corpus": "code", "threshold": 0.0, "evidence": {}}
    session.add(Hypothesis(source_id=tested.id, name="digits", **rule, **note))
    session.flush()
    models.drop_unused_sources(session, model_id)
    of_model = select(Source.slug).where(Source.language_model_id == model_id)
    assert set(session.scalars(of_model)) == {"mlp-0", "explained", "tested"}
    assert silent.id not in session.scalars(select(Source.id)).all()


def test_a_hypothesis_goes_with_its_source_alone(session: Session, saved: HypothesisDetail) -> None:
    session.delete(source_of(session, "tiny-b", "mlp-0"))
    session.flush()
    assert session.scalars(select(Hypothesis)).all() == []
