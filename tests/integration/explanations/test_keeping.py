"""Explanations hang on units: scans come and go, and two people may write at once."""

from threading import Barrier, Thread

import pytest
from sqlalchemy import Engine, delete, exists, select
from sqlalchemy.orm import Session

from app import db
from app.access.tokens import Writer
from app.explanations import queries, service
from app.models import Explanation, LanguageModel, ScanSource, Source
from tests.integration.seed import seed
from workers.sinks import models

ADA = Writer("ada", frozenset({"explanations"}))


@pytest.fixture
def said(engine: Engine) -> Engine:
    """The seeded database, where something is said of tiny-b/mlp-0/5."""
    seed(engine)
    with db.session(engine) as session:
        service.write(session, "tiny-b", "mlp-0", 5, "digits", ADA)
    return engine


def model_id(session: Session) -> int:
    return session.scalars(select(LanguageModel.id).where(LanguageModel.slug == "tiny-b")).one()


def without_scans(session: Session) -> None:
    """As if all of tiny-b's scans were gone."""
    sources = select(Source.id).where(Source.language_model_id == model_id(session))
    session.execute(delete(ScanSource).where(ScanSource.source_id.in_(sources)))


def test_a_source_of_which_something_is_said_outlives_its_scans(said: Engine) -> None:
    with db.session(said) as session:
        without_scans(session)
        models.drop_unused_sources(session, model_id(session))
        (left,) = session.scalars(select(Explanation))
        assert queries.get_explanation(session, left.id).text == "digits"


@pytest.mark.parametrize("is_said", [True, False])
def test_a_models_name_is_free_only_once_nothing_is_said_of_it(said: Engine, is_said: bool) -> None:
    with db.session(said) as session:
        without_scans(session)
        if not is_said:
            session.execute(delete(Explanation))
        used = exists().where(LanguageModel.slug == "tiny-b", models._is_used())
        assert session.scalar(select(used)) is is_said


def test_the_same_written_by_two_requests_at_once_is_there_once(said: Engine) -> None:
    barrier, found = Barrier(4), []

    def write() -> None:
        with db.session(said) as session:
            barrier.wait()
            found.append(service.write(session, "tiny-a", "mlp-0", 1, "dogs", ADA))

    threads = [Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert sum(is_new for _, is_new in found) == 1
    assert len({each.id for each, _ in found}) == 1
