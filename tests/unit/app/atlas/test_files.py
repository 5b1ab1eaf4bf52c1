"""Files of numbers, mapped for reading."""

import os
from pathlib import Path

import numpy as np
import pytest

from app.atlas.errors import Damaged
from app.atlas.files import mapped

NUMBERS = np.arange(100_000, dtype="<i4")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "key"
    folder.mkdir()
    (folder / "numbers").write_bytes(NUMBERS.tobytes())
    return folder / "numbers"


def test_what_is_mapped_outlives_whatever_happens_to_the_file(file: Path) -> None:
    found = mapped(file, "<i4", len(NUMBERS))
    file.write_bytes(b"\xff" * NUMBERS.nbytes)
    os.truncate(file, 10)
    file.unlink()
    assert np.array_equal(found, NUMBERS)  # the system would end this process otherwise
    assert not found.flags.writeable


def test_no_copy_is_left_in_the_folder(file: Path) -> None:
    found = mapped(file, "<i4", len(NUMBERS))
    assert [path.name for path in file.parent.parent.rglob("*") if path.is_file()] == ["numbers"]
    assert len(found) == len(NUMBERS)


@pytest.mark.parametrize("n", [0, 99_999, 100_001])
def test_a_file_of_another_size_is_damaged(file: Path, n: int) -> None:
    with pytest.raises(Damaged, match="400,000 bytes"):
        mapped(file, "<i4", n)


def test_an_empty_file_is_no_numbers(file: Path) -> None:
    file.write_bytes(b"")
    assert len(mapped(file, "<i4", 0)) == 0
