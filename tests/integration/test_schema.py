"""The schema's version: upgraded, found too old, found too new."""

import pytest
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
