"""Files of lines that commands write and read: a file is there whole or not at all."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel

from app.errors import InvalidInput

STANDARD = "-"


def write_models(to: BinaryIO, models: Iterable[BaseModel]) -> int:
    """Writes each as a line of JSON; the answer is how many."""
    n = 0
    for each in models:
        to.write(each.model_dump_json().encode() + b"\n")
        n += 1
    return n


@contextmanager
def reading(name: str) -> Iterator[BinaryIO]:
    """A file, or (`-`) the standard input. Raises InvalidInput."""
    if name == STANDARD:
        yield sys.stdin.buffer
        return
    try:
        with Path(name).open("rb") as file:
            yield file
    except OSError as error:
        raise InvalidInput(f"{name} cannot be read: {error.strerror}.") from error


@contextmanager
def writing(name: str) -> Iterator[BinaryIO]:
    """A file that takes its name once all is written, so that a failure leaves what was there; or
    (`-`) the standard output. Raises InvalidInput."""
    if name == STANDARD:
        yield from _to_standard()
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


def _to_standard() -> Iterator[BinaryIO]:
    """Who reads only the first lines, as `head` does, is no failure."""
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
