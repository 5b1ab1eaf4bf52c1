"""Alembic's environment: our metadata on the engine that the caller hands over."""

from alembic import context
from sqlalchemy import Connection

from app.db import get_engine
from app.models import Base


def include_name(name: str | None, type_: str, parent_names: dict[str, str | None]) -> bool:
    """Partitions and the queue's own tables are not ours to compare."""
    if type_ != "table" or name is None:
        return True
    return name in Base.metadata.tables


def run(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=Base.metadata, include_name=include_name
    )
    with context.begin_transaction():
        context.run_migrations()


engine = context.config.attributes.get("engine") or get_engine()
with engine.connect() as connection:
    run(connection)
    connection.commit()
