"""The scratch file gives back what went in, for dense and sparse sources, and leaves no trace."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from workers import spool
from workers.sinks.copying import StorageFull
from workers.spool import open_spools


def chunks(seed: int, n_units: int, density: float) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    made = []
    for n in (5, 1, 8):
        x = random.normal(size=(n_units, n)).astype(np.float32)
        made.append(np.where(random.random(x.shape) < density, x, 0).astype(np.float32))
    return made


@pytest.mark.parametrize("kind", ["neuron", "sae_latent"])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_any_block_of_units_comes_back_whatever_the_order_of_arrival(
    tmp_path: Path, kind: str, density: float
) -> None:
    file, (one, other) = open_spools(tmp_path, [(kind, 7), (kind, 3)], 14)
    parts, others = chunks(0, 7, density), chunks(1, 3, density)
    firsts = np.cumsum([0] + [part.shape[1] for part in parts])
    for i in (2, 0, 1):
        one.append(int(firsts[i]), parts[i])
        other.append(int(firsts[i]), others[i])
    whole = np.concatenate(parts, axis=1)
    for first, last in ((0, 7), (2, 5), (6, 7), (3, 3)):
        assert np.array_equal(one.read(first, last), whole[first:last])
    assert np.array_equal(other.read(0, 3), np.concatenate(others, axis=1))
    file.close()


def test_the_scratch_file_has_no_name(tmp_path: Path) -> None:
    file, (one,) = open_spools(tmp_path / "made", [("neuron", 2)], 14)
    one.append(0, np.ones((2, 3), dtype=np.float32))
    assert list((tmp_path / "made").iterdir()) == []
    file.close()


def test_a_full_disk_is_told_with_its_place_and_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file, (one,) = open_spools(tmp_path, [("neuron", 2)], 14)
    monkeypatch.setattr(spool.os, "pwrite", full)
    with pytest.raises(StorageFull, match=f"{tmp_path} is full.*--atlas-tokens"):
        one.append(0, np.ones((2, 3), dtype=np.float32))
    file.close()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFull, match="UNITSCOPE_DATA_DIR"):
        open_spools(tmp_path / "file" / "scratch", [("neuron", 2)], 14)


def test_too_little_room_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = spool.shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(spool.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageFull, match=r"needs 4.0 GB .* 1.0 GB are free"):
        open_spools(tmp_path, [("neuron", 1000), ("sae_latent", 10**9)], 10**6)
    file, _ = open_spools(tmp_path, [("neuron", 100)], 10**6)
    file.close()
