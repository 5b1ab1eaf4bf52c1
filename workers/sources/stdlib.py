"""The Python source of the running interpreter's standard library, as a corpus.

It is on every machine that can run this project, so it gives a corpus and a training set without a
download. The list depends on the interpreter alone: the same Python build gives the same names in
the same order. Importing this module costs nothing heavier than `sysconfig`; in particular it never
imports torch, so that the web application may use it too.

The split. `is_held_out` sends about 8% of the modules to the held-out side by a hash of the
module's *split key*, never by position, so that another Python version moves no module between the
sides. The key is the file's own path without its suffix, and files of one package may therefore
fall on both sides: the split asks "does the model know this kind of code?", not "does it know
this package?". Near copies would make that question too easy, hence two exceptions:

- families of files generated from one template or holding one kind of table (`encodings`,
  `pydoc_data`, `lib2to3/fixes`...) are never held out;
- a file that is a known fork of another shares its key, so that both fall on the same side.
"""

import hashlib
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

HELD_OUT_PERCENT = 8
_SPLIT_SALT = b"unitscope stdlib split 1"

_SKIPPED_FOLDERS = frozenset({"site-packages", "dist-packages", "__pycache__"})

_NEVER_HELD_OUT = (
    "encodings/",
    "pydoc_data/",
    "lib2to3/fixes/",
    "test/encoded_modules/",
    "test/test_importlib/",
)
"""Families of near copies: code pages, help topics, one-template fixers, import fixtures."""

_FORKS = {
    "lib2to3/pgen2/tokenize.py": "tokenize.py",
    "lib2to3/pgen2/token.py": "token.py",
    "ntpath.py": "posixpath.py",
    "test/test_ntpath.py": "test/test_posixpath.py",
    "importlib/_bootstrap_external.py": "importlib/_bootstrap.py",
    "asyncio/windows_events.py": "asyncio/unix_events.py",
    "concurrent/futures/process.py": "concurrent/futures/thread.py",
    "unittest/async_case.py": "unittest/case.py",
    "sre_compile.py": "re/_compiler.py",
    "sre_constants.py": "re/_constants.py",
    "sre_parse.py": "re/_parser.py",
}
"""A file that repeats long stretches of another, and the file whose side of the split it takes."""


class StdlibTexts(NamedTuple):
    """The decoded files, and how many were left out because no declared encoding fits them."""

    documents: list[tuple[str, str]]
    n_undecodable: int


def stdlib_files() -> list[tuple[str, Path]]:
    """Every `.py` file of the standard library as (relative POSIX name, path), sorted by name.

    Third-party packages and byte-code folders are left out, and so is `_sysconfigdata_*.py`, which
    is written anew by each build of the interpreter and holds the builder's own settings.
    """
    root = Path(sysconfig.get_path("stdlib"))
    found = ((path.relative_to(root), path) for path in root.rglob("*.py"))
    return sorted((rel.as_posix(), path) for rel, path in found if _belongs(rel))


def _belongs(relative: Path) -> bool:
    return _SKIPPED_FOLDERS.isdisjoint(relative.parts) and not relative.name.startswith(
        "_sysconfigdata"
    )


def is_held_out(name: str) -> bool:
    """Whether the module of this relative POSIX name is on the held-out side of the split."""
    if name.startswith(_NEVER_HELD_OUT):
        return False
    key = PurePosixPath(_FORKS.get(name, name)).with_suffix("").as_posix()
    digest = hashlib.blake2b(key.encode(), digest_size=8, key=_SPLIT_SALT).digest()
    return int.from_bytes(digest, "big") % 100 < HELD_OUT_PERCENT


def read_source(path: Path) -> str | None:
    """The text of one file in the encoding that it declares (PEP 263), or None if that fails.

    Newlines come out as `\\n`. The library's tests hold files that are undecodable on purpose.
    """
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, UnicodeDecodeError):
        return None


def stdlib_texts() -> StdlibTexts:
    """Decode the whole library, both sides of the split; empty files are left out."""
    texts = [(name, read_source(path)) for name, path in stdlib_files()]
    documents = [(name, text) for name, text in texts if text]
    return StdlibTexts(documents, n_undecodable=sum(text is None for _, text in texts))


def side(documents: list[tuple[str, str]], *, held_out: bool) -> Iterator[tuple[str, str]]:
    """The documents of one side of the split, in the order given."""
    return (document for document in documents if is_held_out(document[0]) is held_out)
