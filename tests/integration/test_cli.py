"""The command's manners: one clean line for what a person can mend, a traceback for our faults."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import cli
from app.errors import Conflict, InvalidInput
from app.serving import Place


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


def test_version_is_printed() -> None:
    done = run("--version")
    assert done.stdout.startswith("unitscope ")
    assert done.returncode == 0


def test_an_app_error_is_one_line_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise InvalidInput("the corpus is empty: give one with text")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert capsys.readouterr().err == "unitscope: the corpus is empty: give one with text\n"


def test_an_unexpected_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_port_in_use_is_named_before_anything_is_begun(
    command: str, busy_port: int, tmp_path: Path
) -> None:
    done = run(command, "--port", str(busy_port), UNITSCOPE_DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"unitscope: Port {busy_port} of 127.0.0.1 is in use")
    assert not (tmp_path / "data").exists()


def test_a_setting_that_will_not_do_is_named() -> None:
    done = run("serve", UNITSCOPE_PORT="eighty")
    assert done.returncode == 1
    assert done.stderr.startswith("unitscope: UNITSCOPE_PORT='eighty' will not do")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://localhost/x", "only PostgreSQL"),
        ("not an address", "is not an address"),
        ("postgresql://127.0.0.1:port/x", "is not an address"),
        ("postgresql://me:secret@127.0.0.1:1/x", "No PostgreSQL answers"),
        ("postgres://me:secret@127.0.0.1:1/x", "No PostgreSQL answers"),
    ],
)
def test_a_database_that_will_not_do_is_named_without_its_password(address: str, said: str) -> None:
    done = run("db", "upgrade", UNITSCOPE_DATABASE_URL=address)
    assert done.returncode == 1
    assert said in done.stderr
    assert "secret" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_host_that_is_not_ours_is_refused() -> None:
    with pytest.raises(Conflict, match="--host"):
        Place("no-such-host.invalid", 8000).check_free()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("::", "http://[::1]:8000"),
    ],
)
def test_the_printed_address_is_one_that_a_browser_here_reaches(host: str, url: str) -> None:
    assert Place(host, 8000).url == url
