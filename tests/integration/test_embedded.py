"""The embedded PostgreSQL under what happens to it on people's machines."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from sqlalchemy.engine import make_url

from app import embedded, postmaster
from app.errors import DatabaseUnavailable

USER = """
import sys
from pathlib import Path
from app import embedded
print(embedded.start(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""
MakeData = Callable[[Path], Path]


@pytest.fixture(scope="module")
def pristine() -> Iterator[Path]:
    """A data directory whose cluster is made and stopped."""
    with TemporaryDirectory(prefix="unitscope-pristine-") as name:
        folder = Path(name)
        embedded.start(folder)
        embedded.stop(folder)
        yield folder


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Not pytest's own, for the reason that `start_cluster` gives."""
    with TemporaryDirectory(prefix="unitscope-data-") as name:
        yield Path(name)


@pytest.fixture
def make_data(pristine: Path) -> Iterator[MakeData]:
    """Copies the stopped cluster to a place of a test's choosing, and stops it there at the end."""
    made: list[Path] = []

    def make(folder: Path) -> Path:
        subprocess.run(["cp", "-a", f"{pristine}/.", folder], check=True)
        made.append(folder)
        return folder

    yield make
    for folder in made:
        postmaster.shut_down(folder / embedded.DIRECTORY)


@pytest.fixture
def data_dir(tmp_path: Path, make_data: MakeData) -> Path:
    return make_data(tmp_path)


@contextmanager
def user_process(data_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that uses the server until its standard input closes."""
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("postgresql://")
        yield process


def answers(data_dir: Path) -> bool:
    socket_dir = postmaster.running_socket(data_dir / embedded.DIRECTORY)
    if socket_dir is None:
        return False
    with psycopg.connect(embedded.address(socket_dir, embedded.DATABASE)) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def test_the_server_stops_when_its_last_user_leaves(data_dir: Path) -> None:
    with user_process(data_dir) as first:
        with user_process(data_dir):
            first.communicate()
            assert answers(data_dir)
        assert not answers(data_dir)


def test_a_killed_user_keeps_no_hold_on_the_server(data_dir: Path) -> None:
    with user_process(data_dir) as killed:
        killed.send_signal(signal.SIGKILL)
    assert answers(data_dir)
    with user_process(data_dir):
        assert answers(data_dir)
    assert not answers(data_dir)


def test_a_killed_server_is_started_again(data_dir: Path) -> None:
    embedded.start(data_dir)
    file = data_dir / embedded.DIRECTORY / "postmaster.pid"
    os.kill(int(file.read_text().splitlines()[0]), signal.SIGKILL)
    with user_process(data_dir):  # while we, whose child it was, go on
        assert answers(data_dir)


def test_whoever_finds_the_server_gone_starts_it_again(data_dir: Path) -> None:
    url = make_url(embedded.start(data_dir))
    file = data_dir / embedded.DIRECTORY / "postmaster.pid"
    server = postmaster._launched[data_dir / embedded.DIRECTORY]
    os.kill(int(file.read_text().splitlines()[0]), signal.SIGKILL)
    server.wait()  # until then it may still pass for one that runs, and the next who asks revives
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: embedded.revive(data_dir, url), range(4)))
    assert answers(data_dir)
    embedded.revive(data_dir, make_url("postgresql:///elsewhere"))
    embedded.stop(data_dir)
    embedded.revive(data_dir, url)
    assert not answers(data_dir)


def test_a_stale_pid_file_that_names_some_other_process_is_removed(data_dir: Path) -> None:
    file = data_dir / embedded.DIRECTORY / "postmaster.pid"
    file.write_text(
        f"{os.getpid()}\n{file.parent}\n1700000000\n5432\n{file.parent}\n\n1 1\nready\n"
    )
    with user_process(data_dir):
        assert answers(data_dir)


@pytest.mark.parametrize(
    "name", ["with space", "größe-目录", "com,ma", "per%20cent", 'quo"te', "x" * 200]
)
def test_any_path_will_do(name: str, tmp_path: Path, make_data: MakeData) -> None:
    folder = make_data(tmp_path / name)
    with psycopg.connect(embedded.start(folder)) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("unitscope",)
    embedded.stop(folder)


def test_a_cluster_of_another_major_version_is_refused(data_dir: Path) -> None:
    (data_dir / embedded.DIRECTORY / "PG_VERSION").write_text("16\n")
    with pytest.raises(DatabaseUnavailable, match="PostgreSQL 16's, and this is PostgreSQL 18"):
        embedded.start(data_dir)


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseUnavailable, match="UNITSCOPE_DATA_DIR"):
        embedded.start(tmp_path / "file")


def test_files_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / embedded.DIRECTORY / "thesis.txt"
    kept.parent.mkdir()
    kept.write_text("years of work")
    with pytest.raises(DatabaseUnavailable, match="not empty"):
        embedded.start(tmp_path)
    assert kept.read_text() == "years of work"


def test_a_damaged_cluster_is_refused_in_the_servers_own_words(data_dir: Path) -> None:
    (data_dir / embedded.DIRECTORY / "global" / "pg_control").unlink()
    with pytest.raises(DatabaseUnavailable, match=r"pg_control|control file"):
        embedded.start(data_dir)


def test_a_half_made_cluster_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postmaster, "binaries", lambda: tmp_path)
    with pytest.raises(DatabaseUnavailable):
        embedded.start(tmp_path / "data")
    assert not list((tmp_path / "data").glob("postgres*/"))


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise postmaster.ServerFailed("initdb: error: No space left on device")

    monkeypatch.setattr(postmaster, "_run_initdb", fail)
    monkeypatch.setattr(postmaster, "MINIMUM_FREE_BYTES", shutil.disk_usage(tmp_path).total)
    with pytest.raises(DatabaseUnavailable, match="The disk is full"):
        embedded.start(tmp_path / "data")


AS_OTHER = """
import os, sys, pwd
from pathlib import Path
from app import embedded, postmaster
from app.errors import AppError
import psycopg, psycopg_binary._psycopg
nobody = pwd.getpwnam("nobody")
postmaster._let_pass(postmaster.binaries() / "postgres", nobody)
os.setgroups([]); os.setgid(nobody.pw_gid); os.setuid(nobody.pw_uid)
try:
    print(embedded.start(Path(sys.argv[1])))
except AppError as error:
    print(error.message)
"""


def as_nobody(data_dir: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", AS_OTHER, str(data_dir)], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can play another user")
def test_another_users_data_directory_is_refused(data_dir: Path) -> None:
    said = as_nobody(data_dir)
    assert "this user may not" in said
    assert "UNITSCOPE_DATA_DIR" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can play another user")
def test_an_ordinary_user_has_a_server_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "nobodys"
    folder.mkdir()
    shutil.chown(folder, "nobody")
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o001)
    assert as_nobody(folder).startswith("postgresql://")
