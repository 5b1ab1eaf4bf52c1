"""Data sets as the `datasets` library reads them, from a directory of this machine."""

import json
from pathlib import Path

import pytest

from app.errors import NotFound
from workers.sources.documents import read_documents


def test_a_data_set_is_streamed(tmp_path: Path) -> None:
    for split in ("train", "test"):
        rows = [json.dumps({"text": f"{split} {number}"}) for number in range(3)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(rows))
    found = [(document.name, document.text) for document in read_documents(f"hf:{tmp_path}:test")]
    assert found == [(f"test:{number + 1}", f"test {number}") for number in range(3)]


def test_an_unknown_data_set_is_not_found() -> None:
    with pytest.raises(NotFound, match="data set hf:no-owner/nothing cannot be read"):
        next(read_documents("hf:no-owner/nothing"))
