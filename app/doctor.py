"""Examines a set-up: what works, what does not, and how to mend it. Changes nothing."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from app.config import get_settings
from app.errors import AppError

STATIC = Path(__file__).resolve().parent.parent / "static"
NEEDED_VENDOR = ("htmx/htmx.min.js", "swagger-ui/swagger-ui-bundle.js")
LITTLE_SPACE = 2e9
SIGNS = {"good": "[green]good [/]", "note": "[yellow]note [/]", "bad": "[red]bad  [/]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing examined: `good`, a `note`, or `bad` with its remedy."""

    level: str
    text: str
    remedy: str = ""


def examine(port: int | None) -> bool:
    """Prints every finding; whether none is bad."""
    console = Console(highlight=False, soft_wrap=True)
    is_well = True
    checks: list[Callable[[], Iterator[Finding]]] = [
        check_python,
        check_torch,
        check_device,
        check_data_dir,
        check_database,
        check_front_end,
        lambda: check_port(port),
    ]
    for check in checks:
        for finding in check():
            is_well &= finding.level != "bad"
            console.print(f"{SIGNS[finding.level]} {escape(finding.text)}")
            if finding.remedy:
                console.print(f"      → {escape(finding.remedy)}")
    return is_well


def check_python() -> Iterator[Finding]:
    found = ".".join(str(part) for part in sys.version_info[:3])
    is_good = sys.version_info >= (3, 11)
    yield Finding(
        "good" if is_good else "bad",
        f"Python {found}",
        "" if is_good else "Install Python 3.11 or newer, then `make clean setup`.",
    )


def check_torch() -> Iterator[Finding]:
    """Looks at what is installed; importing it would take seconds."""
    for package, purpose in (
        ("torch", "scan"),
        ("transformer_lens", "name hook points"),
        ("sae_lens", "load SAEs"),
    ):
        try:
            if importlib.util.find_spec(package) is None:
                raise PackageNotFoundError
            yield Finding("good", f"{package} {version(package.replace('_', '-'))}")
        except PackageNotFoundError:
            yield Finding(
                "bad", f"{package} is not installed; it is needed to {purpose}", "`make setup`."
            )


def check_device() -> Iterator[Finding]:
    """Asks the driver's own program, for the same reason."""
    program = shutil.which("nvidia-smi")
    if program is None:
        yield Finding("note", f"No GPU found; scans run on {os.cpu_count()} CPU cores")
        return
    asked = subprocess.run(
        [program, "--query-gpu=name,memory.total", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    names = [line.strip() for line in asked.stdout.splitlines() if line.strip()]
    if asked.returncode != 0 or not names:
        yield Finding(
            "note",
            "The GPU's driver does not answer; scans run on the CPU",
            "See what `nvidia-smi` says.",
        )
    for name in names:
        yield Finding("good", f"GPU: {name}")


def check_data_dir() -> Iterator[Finding]:
    folder = get_settings().data_dir.expanduser().absolute()
    existing = folder
    while not existing.exists():
        existing = existing.parent
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Finding(
            "bad",
            f"The data directory {folder} cannot be written",
            "Set UNITSCOPE_DATA_DIR to a directory of your own.",
        )
        return
    yield Finding("good", f"The data directory is {folder}")
    free = shutil.disk_usage(existing).free
    is_enough = free >= LITTLE_SPACE
    yield Finding(
        "good" if is_enough else "bad",
        f"{free / 1e9:.1f} GB free there",
        "" if is_enough else "Make room, or set UNITSCOPE_DATA_DIR to a larger disk.",
    )


def check_database() -> Iterator[Finding]:
    from app import db

    kind = "embedded" if get_settings().database_url is None else "server's"
    try:
        engine = db.get_engine()
        release = ".".join(str(part) for part in engine.dialect.server_version_info or ())
        yield Finding("good", f"The {kind} PostgreSQL answers; it is version {release}")
        if get_settings().database_url is None and db.is_empty(engine):
            yield Finding("note", "The database is empty; the next command sets it up")
            return
        db.check_schema(engine)
        yield Finding("good", "The database's schema is this version's")
    except AppError as error:
        yield Finding("bad", error.title, error.message)


def check_front_end() -> Iterator[Finding]:
    missing = [name for name in NEEDED_VENDOR if not (STATIC / "vendor" / name).is_file()]
    if missing:
        yield Finding(
            "bad",
            f"static/vendor lacks {', '.join(missing)}; pages work, but plainly",
            "make setup",
        )
    else:
        yield Finding("good", "The pages' third-party files are in place")


def check_port(port: int | None) -> Iterator[Finding]:
    from app.serving import place

    wanted = place(None, port)
    try:
        wanted.check_free()
        yield Finding("good", f"Port {wanted.port} of {wanted.host} is free")
    except AppError as error:
        yield Finding("note", f"Port {wanted.port} of {wanted.host} cannot be had", error.message)
