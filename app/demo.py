"""The demo: the shipped model and dictionaries over the interpreter's standard library."""

import hashlib
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from app import db, indexing
from app.errors import AppError

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "demo" / "model"
DICTIONARIES = ROOT / "demo" / "saes"
N_TOKENS = 520_000
SECONDS_TO_LEAVE = 20


class DemoFailed(AppError):
    """The index of the demo did not come to its end; the reason stands above."""

    title = "The demo was not indexed"


def make() -> None:
    """Indexes the demo, unless it is there already, in a process of its own.

    That process takes torch and its memory away with it: the one that serves stays small.
    """
    db.upgrade(db.get_engine())
    fingerprint = _fingerprint()
    if indexing.is_complete(fingerprint):
        print("The demo is indexed already.")
        return
    command = [sys.executable, "-m", "app.cli", "index", *_arguments(), "--remember", fingerprint]
    status = _run(command)
    if status != 0:
        raise DemoFailed(
            f"The demo's index ended with status {status}; the reason stands above. "
            "`unitscope doctor` examines this set-up."
        )


def _arguments() -> list[str]:
    """The demo as anybody would ask for it: only the files are our own."""
    chosen = [str(MODEL), "--name", "demo", "--corpus", "stdlib", "--tokens", str(N_TOKENS)]
    for folder in sorted(path for path in DICTIONARIES.glob("*") if path.is_dir()):
        chosen += ["--sae", str(folder)]
    return chosen


def _run(command: list[str]) -> int:
    """The exit status; if we are told to end meanwhile, lets the process undo its work first."""
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            try:
                process.wait(SECONDS_TO_LEAVE)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def _fingerprint() -> str:
    """The hash of all that goes into the demo: what is asked, our version, files and corpus.

    Shipped files go in by content (24 MB, 30 ms); of the standard library's, which belong to the
    interpreter, names, sizes and times of change must do.
    """
    digest = hashlib.blake2b(digest_size=20)
    asked = [argument.removeprefix(str(ROOT)) for argument in _arguments()]
    for part in (version("unitscope"), sys.version, *asked, *_corpus_files()):
        digest.update(part.encode(errors="surrogateescape") + b"\0")
    for path in (*sorted(MODEL.rglob("*")), *sorted(DICTIONARIES.rglob("*"))):
        if path.is_file():
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0")
            digest.update(hashlib.blake2b(path.read_bytes()).digest())
    return digest.hexdigest()


def _corpus_files() -> Iterator[str]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        if not {"site-packages", "dist-packages"}.intersection(path.parts):
            status = path.stat()
            yield f"{path.relative_to(root)} {status.st_size} {status.st_mtime_ns}"
