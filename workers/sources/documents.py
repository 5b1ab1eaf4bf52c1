"""Documents of a corpus, one after another, from whatever a user names.

A spec is a file (text, JSONL or Parquet), a directory of them, `stdlib` (the Python source that
comes with the interpreter) or `hf:DATASET[:CONFIG][:SPLIT]`. Files are streamed where their format
allows it. Whatever cannot be read is an error that names the file and the byte, line or row;
nothing is guessed and nothing is left out silently, but for documents without any text.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidInput, NotFound
from workers.sources.quiet import LIBRARY_ERRORS, quiet

_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET_ROWS = 1024
_SURROGATE_FIRST, _SURROGATE_LAST = "\ud800", "\udfff"


@dataclass(frozen=True, slots=True)
class Document:
    """A text, and the name that a reader can find it by."""

    name: str
    text: str


def read_documents(spec: str, text_field: str = "text") -> Iterator[Document]:
    """The documents of `spec`, in an order that depends on the content alone.

    Raises NotFound for a path or data set that is not there (at once), InvalidInput for what
    cannot be read as text (when it is reached), and InvalidInput where no document has any text.
    """
    if spec == "stdlib":
        found = _stdlib()
    elif spec.startswith("hf:"):
        found = _hub_dataset(spec, text_field)
    else:
        found = _path(Path(spec).expanduser(), spec, text_field)
    return _with_text(found, spec)


def _with_text(documents: Iterator[Document], spec: str) -> Iterator[Document]:
    is_empty = True
    try:
        for document in documents:
            if document.text:
                is_empty = False
                yield document
    except OSError as error:
        raise InvalidInput(
            f"{error.filename or spec} cannot be read: {error.strerror or error}."
        ) from error
    if is_empty:
        raise InvalidInput(f"The corpus {spec!r} is empty: it holds no text at all.")


def _path(path: Path, spec: str, text_field: str) -> Iterator[Document]:
    if spec.strip() and path.is_dir():
        return _directory(path, text_field)
    if path.is_file():
        return _file(path, _printable(path.name), text_field)
    raise NotFound(
        f"No corpus at {spec!r}: wanted a file, a directory, `stdlib` or "
        "`hf:DATASET[:CONFIG][:SPLIT]`."
    )


def _directory(root: Path, text_field: str) -> Iterator[Document]:
    """Every file below `root` but hidden ones, by relative path."""
    files = (path for path in root.rglob("*") if path.is_file())
    relative = sorted((path.relative_to(root).as_posix(), path) for path in files)
    for name, path in relative:
        if not any(part.startswith(".") for part in Path(name).parts):
            yield from _file(path, _printable(name), text_field)


def _file(path: Path, name: str, text_field: str) -> Iterator[Document]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path, name, text_field)
    if suffix in _JSON_LINES:
        return _json_lines(path, name, text_field)
    if suffix == ".json":
        return _json(path, name, text_field)
    return _text(path, name)


def _text(path: Path, name: str) -> Iterator[Document]:
    yield Document(name, _decode(path.read_bytes(), path, 0).removeprefix("\ufeff"))


def _decode(content: bytes, path: Path, offset: int) -> str:
    """UTF-8; an error says where in the file it went wrong, and whether it looks like text."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        at, byte = offset + error.start, content[error.start]
        what = "is a binary file" if b"\0" in content[:65536] else "is not UTF-8 text"
        raise InvalidInput(
            f"{path} {what}: byte {at} is 0x{byte:02x} ({error.reason}). Convert the file to "
            "UTF-8, or leave it out."
        ) from error


def _json(path: Path, name: str, text_field: str) -> Iterator[Document]:
    """A `.json` file: an object a line, or a list of objects, or else a text like any other."""
    with path.open("rb") as file:
        first = _parsed(file.readline())
    if isinstance(first, dict):
        yield from _json_lines(path, name, text_field)
        return
    rows = _parsed(path.read_bytes())
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        yield from _text(path, name)
        return
    for number, row in enumerate(rows, start=1):
        yield Document(f"{name}:{number}", _field(row, f"{path}, item {number}", text_field))


def _parsed(content: bytes) -> Any:
    """JSON, or None where it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _json_lines(path: Path, name: str, text_field: str) -> Iterator[Document]:
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            text = _decode(line, path, offset).removeprefix("\ufeff" if number == 1 else "")
            if text.strip():
                value = _json_field(text, f"{path}, line {number}", text_field)
                yield Document(f"{name}:{number}", value)
            offset += len(line)


def _json_field(line: str, where: str, text_field: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise InvalidInput(f"{where}: not a JSON value ({reason}); wanted one a line.") from error
    if not isinstance(row, dict):
        raise InvalidInput(
            f"{where}: a JSON {_kind(row)}; wanted an object with the field {text_field!r}."
        )
    return _field(row, where, text_field)


def _field(row: dict[str, Any], where: str, text_field: str) -> str:
    if text_field not in row:
        fields = ", ".join(repr(field) for field in list(row)[:8]) or "none"
        raise InvalidInput(
            f"{where}: no field {text_field!r}; there is {fields}. Pass --text-field NAME."
        )
    return _checked(row[text_field], where, text_field)


def _parquet(path: Path, name: str, text_field: str) -> Iterator[Document]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        columns = file.schema_arrow.names
        if text_field not in columns:
            raise InvalidInput(
                f"{path}: no column {text_field!r}; there is "
                f"{', '.join(repr(column) for column in columns[:8]) or 'none'}. "
                "Pass --text-field NAME."
            )
        row = 0
        for batch in file.iter_batches(_PARQUET_ROWS, columns=[text_field]):
            for value in _values(batch.column(0), path, row):
                row += 1
                yield Document(f"{name}:{row}", _checked(value, f"{path}, row {row}", text_field))
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{path} is not a Parquet file that can be read: {error}") from error


def _values(column: Any, path: Path, n_before: int) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{path}: text that is not UTF-8 in rows {n_before + 1} to {n_before + len(column)}: "
            f"{error}."
        ) from error
    return values


def _checked(value: Any, where: str, text_field: str) -> str:
    """A field's text; a lone surrogate, which JSON can hold, is not text in any encoding."""
    if not isinstance(value, str):
        raise InvalidInput(f"{where}: the field {text_field!r} is a {_kind(value)}, not a text.")
    for position, char in enumerate(value) if not value.isascii() else ():
        if _SURROGATE_FIRST <= char <= _SURROGATE_LAST:
            raise InvalidInput(
                f"{where}: character {position} of {text_field!r} is \\u{ord(char):04x}, half of a "
                "surrogate pair, which is no character."
            )
    return value


def _kind(value: Any) -> str:
    names = {
        dict: "object",
        list: "list",
        bool: "true or false",
        type(None): "null",
        bytes: "run of bytes",
    }
    return names.get(type(value), "number" if isinstance(value, (int, float)) else "text")


def _stdlib() -> Iterator[Document]:
    """All but files that are undecodable on purpose, for the library's own tests."""
    from workers.sources.stdlib import read_source, stdlib_files

    for name, path in stdlib_files():
        if text := read_source(path):
            yield Document(name, text)


def _hub_dataset(spec: str, text_field: str) -> Iterator[Document]:
    """Rows of a data set on the hub, streamed; never by a script of its own."""
    parts = spec.removeprefix("hf:").split(":")
    if not parts[0] or len(parts) > 3:
        raise InvalidInput(f"{spec!r} is not a data set: wanted hf:DATASET[:CONFIG][:SPLIT].")
    config, split = _config_and_split(parts)
    rows = _open_dataset(spec, parts[0], config, split)
    for number, row in enumerate(rows, start=1):
        yield Document(f"{split}:{number}", _field(row, f"{spec}, row {number}", text_field))


def _config_and_split(parts: list[str]) -> tuple[str | None, str]:
    """`hf:D:train` names a split, `hf:D:en` a configuration, `hf:D:en:test` both."""
    splits = ("train", "test", "validation")
    if len(parts) == 2 and parts[1] in splits:
        return None, parts[1]
    config = parts[1] if len(parts) > 1 and parts[1] else None
    return config, parts[2] if len(parts) > 2 and parts[2] else "train"


def _open_dataset(spec: str, name: str, config: str | None, split: str) -> Any:
    with quiet():
        import datasets

        try:
            return datasets.load_dataset(name, config, split=split, streaming=True)
        except LIBRARY_ERRORS as error:
            raise NotFound(
                f"The data set {spec} cannot be read: {error}. Check its name, configuration and "
                "split, and the network."
            ) from error


def _printable(name: str) -> str:
    """A file's name as text: bytes that are not UTF-8 become escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
