"""The schema's version: upgraded, found too old, found too new."""

import pytest
from alembic import command
from sqlalchemy import Engine, text

from app import db
from app.errors import DatabaseUnavailable, SchemaMismatch
from tests.databases import Cluster

pytestmark = pytest.mark.both_servers


def test_a_migrated_database_passes_the_check(engine: Engine) -> None:
    db.check_schema(engine)


def test_an_empty_database_is_refused_until_upgraded(cluster: Cluster) -> None:
    with cluster.engine(template="template0") as engine:
        with pytest.raises(SchemaMismatch, match="unitscope db upgrade"):
            db.check_schema(engine)
        db.upgrade(engine)
        db.check_schema(engine)


def test_a_database_of_a_newer_version_is_refused_and_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'from_the_future'"))
    with pytest.raises(SchemaMismatch, match="newer"):
        db.check_schema(engine)
    with pytest.raises(SchemaMismatch, match="newer"):
        db.upgrade(engine)
    with engine.connect() as connection:
        found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    assert found == "from_the_future"


def test_scans_that_no_worker_can_take_up_are_said_to_have_failed(cluster: Cluster) -> None:
    with cluster.engine(template="template0") as engine:
        command.upgrade(db.alembic_config(engine), "0004")
        with engine.begin() as connection:
            connection.execute(text("SET session_replication_role = replica"))  # no model needed
            connection.execute(text(_INTERRUPTED))
        db.upgrade(engine)
        with engine.connect() as connection:
            status, error = connection.execute(text("SELECT status, error FROM scans")).one()
    assert status == "failed"
    assert "same index command again" in error


_INTERRUPTED = """
INSERT INTO scans
    (language_model_id, corpus_id, status, settings_hash, settings, n_tokens_done, software_version)
VALUES (1, 1, 'running', 's', '{}', 0, '0.1.0')
"""


def test_upgrading_twice_changes_nothing(engine: Engine) -> None:
    db.upgrade(engine)
    db.check_schema(engine)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_text_is_refused(engine: Engine, encoding: str) -> None:
    name = f"{engine.url.database}_narrow"
    how = f"ENCODING '{encoding}' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" {how}'))
        try:
            url = engine.url.set(database=name).render_as_string(hide_password=False)
            with pytest.raises(DatabaseUnavailable, match=f"is encoded in {encoding}"):
                db.make_engine(url)
        finally:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
