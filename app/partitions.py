"""Partitions of the large tables, so that dropping a scan or a corpus is instant."""

from sqlalchemy import Connection, delete, text
from sqlalchemy.orm import Session

from app.models import Atlas, Shard

SCAN_TABLES = ("unit_stats", "examples", "atlas_pieces")
LABEL_TABLES = ("labels",)
"""Of a complete scan, once its units are labelled."""
UNFINISHED_TABLES = (*SCAN_TABLES, "partials", "unit_atlas")
"""What an unfinished scan may have: tables not attached yet, partials, the atlas by units."""
CORPUS_TABLES = ("documents", "windows")


def create(connection: Connection, tables: tuple[str, ...], owner_id: int) -> None:
    """Makes the partition of each table for one scan or corpus."""
    for table in tables:
        connection.execute(
            text(
                f"CREATE TABLE {name(table, owner_id)} PARTITION OF {table} "
                f"FOR VALUES IN ({int(owner_id)})"
            )
        )


def prepare(connection: Connection, tables: tuple[str, ...], owner_id: int) -> None:
    """Makes tables that `attach` will turn into partitions; until then nobody sees them.

    Making a partition locks its table against readers until the transaction ends. So whatever
    takes longer than a moment to fill is filled first and attached last, which locks out nobody.
    Indexes come with `attach`, and are built faster then.
    """
    for table in tables:
        key = "corpus_id" if table in CORPUS_TABLES else "scan_id"
        connection.execute(
            text(
                f"CREATE TABLE {name(table, owner_id)} "
                f"(LIKE {table} INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING COMPRESSION, "
                f"CONSTRAINT owner CHECK ({key} = {int(owner_id)}))"
            )
        )


def attach(connection: Connection, tables: tuple[str, ...], owner_id: int) -> None:
    """Makes prepared tables partitions; their rows appear when the transaction commits."""
    for table in tables:
        part = name(table, owner_id)
        connection.execute(
            text(f"ALTER TABLE {table} ATTACH PARTITION {part} FOR VALUES IN ({int(owner_id)})")
        )
        connection.execute(text(f"ALTER TABLE {part} DROP CONSTRAINT owner"))


def drop(connection: Connection, tables: tuple[str, ...], owner_id: int) -> None:
    """Drops the partitions of one scan or corpus, where they are."""
    for table in tables:
        connection.execute(text(f"DROP TABLE IF EXISTS {name(table, owner_id)}"))


def drop_unfinished(session: Session, scan_id: int) -> None:
    """Drops an unfinished scan's shards, and everything that was flushed of it."""
    session.execute(delete(Shard).where(Shard.scan_id == scan_id))
    session.execute(delete(Atlas).where(Atlas.scan_id == scan_id))
    forget_tasks(session, scan_id)
    drop(session.connection(), UNFINISHED_TABLES, scan_id)


def forget_tasks(session: Session, scan_id: int) -> None:
    """Takes a scan's waiting tasks out of the queue; what is under way ends by itself."""
    waiting = text("DELETE FROM procrastinate_jobs WHERE queue_name = :queue AND status = 'todo'")
    session.execute(waiting, {"queue": f"scan-{int(scan_id)}"})


def name(table: str, owner_id: int) -> str:
    """The partition's table name: `examples_17` for scan 17."""
    return f"{table}_{int(owner_id)}"
