"""Engines, sessions and the schema's version. The only module that connects and commits."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session

from app import embedded
from app.config import get_settings
from app.errors import DatabaseUnavailable, SchemaMismatch

ROOT = Path(__file__).resolve().parent.parent
MINIMUM_SERVER_VERSION = 15
CONNECT_ARGS: dict[str, str | int] = {
    "client_encoding": "utf8",  # else a server's SQL_ASCII gives bytes for text
    "connect_timeout": 10,
    # A server that vanished without a word is noticed within a minute or so, not after hours.
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""For libpq, which leaves out what is for TCP alone where it uses a socket in a directory."""


def database_url() -> str:
    """The address in SQLAlchemy's form; starts the embedded server where no address is set."""
    settings = get_settings()
    raw = settings.database_url or embedded.start(settings.data_dir)
    try:
        url = make_url(raw)
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise DatabaseUnavailable(
            "UNITSCOPE_DATABASE_URL is not an address: wanted "
            "postgresql://user:password@host:port/name."
        ) from error
    if url.get_backend_name() not in ("postgresql", "postgres"):  # hosts hand out both
        raise DatabaseUnavailable(
            f"UNITSCOPE_DATABASE_URL names {url.get_backend_name()!r}; only PostgreSQL "
            f"{MINIMUM_SERVER_VERSION} or newer is supported (postgresql://…)."
        )
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


@lru_cache(maxsize=1)
def get_engine() -> Engine:
    """The process's engine; connects at first use."""
    return make_engine(database_url())


def ready() -> Engine:
    """The process's engine, on a database whose schema fits: what a command begins with."""
    engine = get_engine()
    prepare(engine)
    return engine


def make_engine(url: str) -> Engine:
    """An engine on `url`, checked to reach a server that is new enough."""
    engine = create_engine(
        url,
        connect_args=CONNECT_ARGS,
        pool_pre_ping=True,
        pool_size=10,
        max_overflow=10,
    )
    try:
        with engine.connect() as connection:
            version = int((connection.dialect.server_version_info or (0,))[0])
            encoding = connection.scalar(text("SHOW server_encoding"))
    except OperationalError as error:
        where = make_url(url).set(drivername="postgresql").render_as_string(hide_password=True)
        reason = next(iter(str(error.orig).splitlines()), "no reason given")
        raise DatabaseUnavailable(
            f"No PostgreSQL answers at {where} ({reason}). Start it, or correct "
            "UNITSCOPE_DATABASE_URL."
        ) from error
    if version < MINIMUM_SERVER_VERSION:
        raise DatabaseUnavailable(
            f"The server is PostgreSQL {version}; version {MINIMUM_SERVER_VERSION} or newer is "
            "needed."
        )
    if encoding != "UTF8":
        engine.dispose()
        raise DatabaseUnavailable(
            f"The database {make_url(url).database!r} is encoded in {encoding}, which cannot hold "
            "every text. Make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and "
            "name that in UNITSCOPE_DATABASE_URL."
        )
    return engine


@contextmanager
def session(engine: Engine | None = None) -> Iterator[Session]:
    """One unit of work: commits at the end, rolls back on an error."""
    with Session(engine or get_engine(), expire_on_commit=False) as opened, opened.begin():
        yield opened


def alembic_config(engine: Engine) -> Config:
    """Alembic's configuration for our migrations on `engine`."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.attributes["engine"] = engine
    return config


def upgrade(engine: Engine) -> None:
    """Brings the schema to this version of the code; refuses a newer database."""
    config = alembic_config(engine)
    found = _found_revision(engine)
    if found == ScriptDirectory.from_config(config).get_current_head():
        return
    if found is not None and not _is_known(config, found):
        raise SchemaMismatch(_newer(found))
    with engine.connect() as connection:
        # One upgrade at a time, whoever starts first; the lock goes with the connection.
        connection.execute(text("SELECT pg_advisory_lock(hashtext('unitscope.upgrade'))"))
        command.upgrade(config, "head")
        connection.rollback()


def prepare(engine: Engine) -> None:
    """Makes the schema fit: the embedded database is ours to upgrade, a server's is checked."""
    try:
        check_schema(engine)
    except SchemaMismatch:
        if get_settings().database_url is not None:
            raise
        upgrade(engine)


def check_schema(engine: Engine) -> None:
    """Raises SchemaMismatch unless the database is at exactly this version of the code."""
    config = alembic_config(engine)
    head = ScriptDirectory.from_config(config).get_current_head()
    found = _found_revision(engine)
    if found == head:
        return
    if found is not None and not _is_known(config, found):
        raise SchemaMismatch(_newer(found))
    was = f"at revision {found}" if found else "empty"
    raise SchemaMismatch(
        f"The database is {was}; this version of Unitscope needs revision {head}. "
        "Run `unitscope db upgrade`."
    )


def is_empty(engine: Engine) -> bool:
    """Whether no version of Unitscope has set up this database yet."""
    return _found_revision(engine) is None


def _found_revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _is_known(config: Config, revision: str) -> bool:
    return any(
        script.revision == revision
        for script in ScriptDirectory.from_config(config).walk_revisions()
    )


def _newer(revision: str) -> str:
    return (
        f"The database is at revision {revision}, which this version of Unitscope does not know: "
        "it was made by a newer one. Update Unitscope, or use another database."
    )
