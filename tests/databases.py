"""PostgreSQL for the tests: the embedded one, and a server's, each in a cluster of its own.

A cluster is started once a test process and holds one migrated template database; a test gets a
copy of it, which costs about 40 ms and lets code under test commit, copy and make partitions as it
does for a user.
"""

import itertools
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from sqlalchemy import Engine

from app import db, embedded

TEMPLATE = "unitscope_template"


@dataclass
class Cluster:
    """One running PostgreSQL; `address` is that of one of its databases, for psycopg."""

    address: str
    numbers: Iterator[int] = field(default_factory=itertools.count)
    server: "Server | None" = None  # where it can be stopped and started

    def url(self, database: str) -> str:
        """The address of one of its databases, as UNITSCOPE_DATABASE_URL takes it."""
        return urlsplit(self.address)._replace(path=f"/{database}").geturl()

    def create(self, template: str = TEMPLATE) -> str:
        """A new database's name: a copy of `template` (`template0` for an empty one)."""
        name = f"test_{next(self.numbers)}"
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop(self, name: str) -> None:
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @contextmanager
    def engine(self, template: str = TEMPLATE) -> Iterator[Engine]:
        """An engine on a database of its own, dropped at the end."""
        name = self.create(template)
        engine = db.make_engine(sqlalchemy_url(self.url(name)))
        try:
            yield engine
        finally:
            engine.dispose()
            self.drop(name)

    def make_template(self) -> None:
        """Migrates an empty database; tests copy it."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{TEMPLATE}" TEMPLATE template0')
        engine = db.make_engine(sqlalchemy_url(self.url(TEMPLATE)))
        db.upgrade(engine)
        engine.dispose()


def sqlalchemy_url(address: str) -> str:
    return address.replace("postgresql://", "postgresql+psycopg://", 1)


@contextmanager
def embedded_cluster(folder: Path) -> Iterator[Cluster]:
    """The embedded server, in a data directory of the test session's own."""
    cluster = Cluster(embedded.start(folder))
    cluster.make_template()
    try:
        yield cluster
    finally:
        embedded.stop(folder)


@dataclass(frozen=True)
class Server:
    """A server's PostgreSQL in `folder`, as an administrator would run it."""

    folder: Path
    port: int
    account: pwd.struct_passwd | None

    def start(self) -> None:
        """Returns when it answers."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' "
            "-c fsync=off"
        )
        self._control("-l", self.folder / "log", "-o", options, "start")

    def stop(self) -> None:
        """At once, as a failure of the machine would, but for what the disk has."""
        self._control("-m", "immediate", "stop")

    def _control(self, *arguments: str | Path) -> None:
        _run(self.account, "pg_ctl", "-w", "-D", self.folder / "data", *arguments)


@contextmanager
def server_cluster(folder: Path) -> Iterator[Cluster]:
    """A server's PostgreSQL on a free port of this host."""
    account = _account()
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
        _let_pass(folder)
    data, port = folder / "data", _free_port()
    _run(account, "initdb", "-D", data, "-U", "tester", "--auth=trust", "-E", "UTF8", "--no-sync")
    server = Server(folder, port, account)
    server.start()
    try:
        cluster = Cluster(f"postgresql://tester@127.0.0.1:{port}/postgres", server=server)
        cluster.make_template()
        yield cluster
    finally:
        server.stop()


def server_programs() -> Path | None:
    """The newest installed server's programs: Debian's place, or the PATH."""
    places = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: float(place.parent.name)
    )
    if found := shutil.which("initdb"):
        places.insert(0, Path(found).resolve().parent)
    return next((place for place in reversed(places) if (place / "initdb").exists()), None)


def _run(account: pwd.struct_passwd | None, program: str, *arguments: str | Path) -> None:
    programs = server_programs()
    if programs is None:
        raise FileNotFoundError(
            "No PostgreSQL server is installed here (initdb): run `make test`, which installs "
            "one, or on Debian apt-get install postgresql."
        )
    user, group = (account.pw_uid, account.pw_gid) if account else (None, None)
    done = subprocess.run(
        [programs / program, *arguments],
        user=user,
        group=group,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # no pipe: the server would hold it open
        stderr=subprocess.DEVNULL,
        check=False,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    if done.returncode != 0:
        raise RuntimeError(f"{programs / program} {arguments} ended with {done.returncode}")


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as: Debian's `postgres` where we are root, else ourselves."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else None


def _let_pass(folder: Path) -> None:
    """Folders above that are closed to others are opened where they are ours."""
    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o001)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
