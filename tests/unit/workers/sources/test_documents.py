"""Documents from files of every kind, and a clear word about every file that holds none."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.errors import InvalidInput, NotFound
from workers.sources.documents import Document, read_documents


def read(path: Path | str, text_field: str = "text") -> list[tuple[str, str]]:
    return [(document.name, document.text) for document in read_documents(str(path), text_field)]


def write_lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_parquet(path: Path, **columns: list[object]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("name", ["a.txt", "b.md", "c.py", "no-suffix", "d.HTML"])
def test_any_utf8_file_is_one_document_named_after_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("Größe\r\n👩‍👩‍👧 \0", newline="")
    assert read(tmp_path / name) == [(name, "Größe\r\n👩‍👩‍👧 \0")]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfhello")
    (tmp_path / "b.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "hi"}\n')
    assert read(tmp_path) == [("a.txt", "hello"), ("b.jsonl:1", "hi")]


def test_json_lines_are_named_by_their_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "one"}\n\n{"text": "", "id": 3}\n{"text": "fo\\nur"}')
    assert read(path) == [("x.jsonl:1", "one"), ("x.jsonl:4", "fo\nur")]


@pytest.mark.parametrize(
    ("content", "documents"),
    [
        ('{"text": "a"}\n{"text": "b"}\n', [("x.json:1", "a"), ("x.json:2", "b")]),
        ('[\n {"text": "a"},\n {"text": "b"}\n]', [("x.json:1", "a"), ("x.json:2", "b")]),
        ('{\n "name": "no corpus"\n}', [("x.json", '{\n "name": "no corpus"\n}')]),
        ("[1, 2]", [("x.json", "[1, 2]")]),
        ("no json", [("x.json", "no json")]),
    ],
)
def test_a_json_file_is_lines_or_a_list_of_objects_or_else_a_text(
    tmp_path: Path, content: str, documents: list[tuple[str, str]]
) -> None:
    (tmp_path / "x.json").write_text(content)
    assert read(tmp_path / "x.json") == documents


def test_a_json_list_whose_items_lack_the_field_names_the_item(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('[{"text": "a"}, {"body": "b"}]')
    with pytest.raises(InvalidInput, match="item 2: no field 'text'; there is 'body'"):
        read(tmp_path / "x.json")


def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "a.txt").write_text("text")
    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(InvalidInput, match=r"a\.txt cannot be read: Permission denied"):
        read(tmp_path)


def test_a_line_separator_inside_a_json_line_ends_no_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a\u2028b\x85c"}\n{"text": "d"}\n', encoding="utf-8")
    assert read(path) == [("x.jsonl:1", "a\u2028b\x85c"), ("x.jsonl:2", "d")]


def test_parquet_rows_are_named_by_their_number(tmp_path: Path) -> None:
    texts: list[object] = [f"text {i}" for i in range(2500)]
    path = write_parquet(tmp_path / "x.parquet", text=texts, other=list(range(2500)))
    assert read(path) == [(f"x.parquet:{i + 1}", f"text {i}") for i in range(2500)]


def test_the_text_field_can_be_another(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", {"body": "one", "text": 3})
    write_parquet(tmp_path / "b.parquet", body=["two"])
    assert read(tmp_path, "body") == [("a.jsonl:1", "one"), ("b.parquet:1", "two")]


def test_a_directory_is_read_in_order_of_names_without_hidden_and_empty_files(
    tmp_path: Path,
) -> None:
    for name in ("b.txt", "a/z.py", "a/b/c.md", ".git/config", "a/.hidden", "empty.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("" if name == "empty.py" else name)
    write_lines(tmp_path / "a" / "l.jsonl", {"text": "line"})
    assert [name for name, _ in read(tmp_path)] == ["a/b/c.md", "a/l.jsonl:1", "a/z.py", "b.txt"]


def test_a_link_back_to_its_own_directory_ends(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("once")
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    assert read(tmp_path) == [("a.txt", "once")]


def test_a_file_name_that_is_not_utf8_is_escaped(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.txt", "w") as file:  # noqa: PTH123
        file.write("text")
    assert read(tmp_path) == [("caf\\xe9.txt", "text")]


def test_the_standard_library_is_there() -> None:
    documents = read_documents("stdlib")
    first = next(documents)
    assert isinstance(first, Document)
    assert first.name.endswith(".py")
    assert first.text


@pytest.mark.parametrize("spec", ["/no/such/file.txt", "", "stdlibs", "hf"])
def test_an_unknown_path_is_not_found(spec: str) -> None:
    with pytest.raises(NotFound, match="wanted a file, a directory, `stdlib` or"):
        read(spec)


@pytest.mark.parametrize(
    ("content", "byte", "what"),
    [
        (b"caf\xe9 au lait", 3, r"is not UTF-8 text: byte 3 is 0xe9"),
        (b"\x7fELF\x00\x01\xff\xfe", 6, r"is a binary file: byte 6 is 0xff"),
        ("hi".encode("utf-16"), 0, r"is a binary file: byte 0 is 0xff"),
        (b"cut short \xf0\x9f\x91", 10, r"byte 10 is 0xf0"),
        (b"\xed\xa0\x80", 0, r"byte 0 is 0xed"),
    ],
)
def test_a_file_that_is_not_utf8_names_the_byte(
    tmp_path: Path, content: bytes, byte: int, what: str
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=what) as caught:
        read(path)
    assert str(path) in caught.value.message
    assert f"byte {byte} " in caught.value.message


def test_a_bad_byte_in_json_lines_is_counted_from_the_start_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "fine"}\n{"text": "\xff"}\n')
    with pytest.raises(InvalidInput, match=r"byte 27 is 0xff"):
        read(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not a JSON value"),
        ("[1]", "line 2: a JSON list; wanted an object with the field 'text'"),
        ('"text"', "line 2: a JSON text"),
        ("null", "line 2: a JSON null"),
        ('{"body": "x", "id": 1}', "line 2: no field 'text'; there is 'body', 'id'"),
        ("{}", "line 2: no field 'text'; there is none. Pass --text-field NAME"),
        ('{"text": 3}', "line 2: the field 'text' is a number, not a text"),
        ('{"text": null}', "line 2: the field 'text' is a null"),
        ('{"text": ["a"]}', "line 2: the field 'text' is a list"),
        ('{"text": true}', "line 2: the field 'text' is a true or false"),
        ('{"text": "ab\\ud83d"}', r"line 2: character 2 of 'text' is \\ud83d, half of a"),
        ("[" * 100_000, "line 2: not a JSON value"),
    ],
)
def test_a_bad_json_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "fine"}\n' + line + "\n")
    with pytest.raises(InvalidInput, match=message) as caught:
        read(path)
    assert str(path) in caught.value.message


def test_a_parquet_file_without_the_column_names_those_it_has(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", body=["a"], id=[1])
    with pytest.raises(InvalidInput, match="no column 'text'; there is 'body', 'id'"):
        read(path)


@pytest.mark.parametrize(
    ("values", "kind"), [(["a", None], "row 2: .* null"), ([b"a"], "row 1: .* run of bytes")]
)
def test_a_parquet_value_that_is_no_text_names_its_row(
    tmp_path: Path, values: list[Any], kind: str
) -> None:
    path = write_parquet(tmp_path / "x.parquet", text=values)
    with pytest.raises(InvalidInput, match=f"{kind}, not a text"):
        read(path)


def test_a_parquet_file_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(InvalidInput, match="not a Parquet file that can be read"):
        read(path)


@pytest.mark.parametrize("content", [[], [("a.txt", "")], [("a.jsonl", ""), ("b.txt", "")]])
def test_a_corpus_without_any_text_is_refused(
    tmp_path: Path, content: list[tuple[str, str]]
) -> None:
    for name, text in content:
        (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput, match="is empty: it holds no text at all"):
        read(tmp_path)


@pytest.mark.parametrize("spec", ["hf:", "hf:a:b:c:d"])
def test_a_malformed_data_set_is_refused(spec: str) -> None:
    with pytest.raises(InvalidInput, match=r"wanted hf:DATASET\[:CONFIG\]\[:SPLIT\]"):
        read(spec)


@pytest.mark.parametrize(
    ("spec", "asked"),
    [
        ("hf:o/d", ("o/d", None, "train")),
        ("hf:o/d:test", ("o/d", None, "test")),
        ("hf:o/d:en", ("o/d", "en", "train")),
        ("hf:o/d:en:test", ("o/d", "en", "test")),
        ("hf:o/d::test", ("o/d", None, "test")),
    ],
)
def test_a_data_set_is_streamed_row_by_row(
    spec: str, asked: tuple[str, str | None, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def open_dataset(_spec: str, *given: object) -> list[dict[str, object]]:
        calls.append(given)
        return [{"text": "one"}, {"text": "two"}]

    monkeypatch.setattr("workers.sources.documents._open_dataset", open_dataset)
    assert read(spec) == [(f"{asked[2]}:1", "one"), (f"{asked[2]}:2", "two")]
    assert calls == [asked]
    with pytest.raises(InvalidInput, match="row 1: no field 'body'; there is 'text'"):
        read(spec, "body")
