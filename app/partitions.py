"""Partitions of the large tables, so that dropping a scan or a corpus is instant."""

from sqlalchemy import Connection, text

SCAN_TABLES = ("unit_stats", "examples")
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


def drop(connection: Connection, tables: tuple[str, ...], owner_id: int) -> None:
    """Drops the partitions of one scan or corpus, where they are."""
    for table in tables:
        connection.execute(text(f"DROP TABLE IF EXISTS {name(table, owner_id)}"))


def name(table: str, owner_id: int) -> str:
    """The partition's table name: `examples_17` for scan 17."""
    return f"{table}_{int(owner_id)}"
