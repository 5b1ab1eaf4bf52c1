"""What `unitscope export hypotheses` and `unitscope import hypotheses` do."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app import db
from app.errors import InvalidInput
from app.hypotheses.exchange import read_lines, write_lines

STANDARD = "-"


def export(model: str, out: str) -> None:
    """Writes a model's hypotheses, a line each, to a file or (`-`) the standard output.

    A file is there whole or not at all. Raises NotFound, InvalidInput.
    """
    engine = db.get_engine()
    db.prepare(engine)
    with db.session(engine) as session, _written(out) as to:
        n = write_lines(session, model, to)
    if out != STANDARD:
        print(f"{n:,} hypotheses of {model} are in {out}.")


def import_(file: str) -> None:
    """Adds hypotheses from such lines; all of them or none. Raises AppError naming the line."""
    engine = db.get_engine()
    db.prepare(engine)
    try:
        with _read(file) as lines, db.session(engine) as session:
            done = read_lines(session, lines)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}.") from error
    print(f"{done.n_new:,} hypotheses are new, {done.n_known:,} were here already.")


@contextmanager
def _read(name: str) -> Iterator[BinaryIO]:
    if name == STANDARD:
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as file:
        yield file


@contextmanager
def _written(name: str) -> Iterator[BinaryIO]:
    """A file that takes its name once all is written, so that a failure leaves what was there."""
    if name == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name).resolve()
    part = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        if path.exists() and not path.is_file():
            raise InvalidInput(f"--out {name} is no plain file: name another one.")
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise InvalidInput(f"--out {name} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
