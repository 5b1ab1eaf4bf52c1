"""Scratch pieces keep what is written; a file's room is there before it is promised."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from workers import arena
from workers.arena import SEGMENT_BYTES, ScratchArena
from workers.sinks.copying import StorageFull


@pytest.mark.parametrize("memory_bytes", [1 << 40, 0, SEGMENT_BYTES], ids=["memory", "file", "on"])
def test_pieces_do_not_overlap_and_begin_with_zeros(tmp_path: Path, memory_bytes: int) -> None:
    scratch = ScratchArena(tmp_path, memory_bytes)
    sizes = [1, 63, 64, 65, 0, SEGMENT_BYTES - 100, SEGMENT_BYTES + 1, 7]
    with ThreadPoolExecutor(4) as threads:
        pieces = list(threads.map(scratch.take, sizes))
    assert [len(piece) for piece in pieces] == sizes
    assert not any(piece.any() for piece in pieces)
    for number, piece in enumerate(pieces):
        piece[:] = number
    for number, piece in enumerate(pieces):
        assert (piece == number).all()
        assert piece.ctypes.data % 64 == 0 or len(piece) == 0
    scratch.close()


def test_the_scratch_file_has_no_name_and_is_there_only_if_memory_is_not_enough(
    tmp_path: Path,
) -> None:
    scratch = ScratchArena(tmp_path / "made", SEGMENT_BYTES)
    scratch.take(SEGMENT_BYTES)
    assert not (tmp_path / "made").exists()
    piece = scratch.take(SEGMENT_BYTES)
    assert list((tmp_path / "made").iterdir()) == []
    scratch.close()
    piece[:] = 1  # a piece that is still held stays good


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_when_room_is_reserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(arena.os, "posix_fallocate", full)
    with (
        closing(ScratchArena(tmp_path, 0)) as scratch,
        pytest.raises(StorageFull, match=f"{tmp_path} is full.*--atlas-tokens"),
    ):
        scratch.take(1)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFull, match="UNITSCOPE_DATA_DIR"):
        ScratchArena(tmp_path / "file" / "scratch", 0).take(1)


def test_memory_that_the_system_refuses_comes_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = arena.mmap.mmap

    def refused(number: int, *args: int, **kwargs: int) -> object:
        if number == -1:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return real(number, *args, **kwargs)

    monkeypatch.setattr(arena.mmap, "mmap", refused)
    with closing(ScratchArena(tmp_path, 1 << 40)) as scratch:
        piece = scratch.take(5)
    piece[:] = 3
    assert np.array_equal(piece, [3] * 5)
