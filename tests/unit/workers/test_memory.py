"""The allocator's settings; how much memory is left under a control group's limit."""

import ctypes
import platform
from pathlib import Path
from types import SimpleNamespace

import pytest

from workers import memory
from workers.memory import available_bytes, keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_glibc_takes_every_setting() -> None:
    assert keep_freed_memory()


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not keep_freed_memory()


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 1,000 bytes left, and no control group so far."""
    machine = SimpleNamespace(available=1000)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: machine)
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "own")
    return tmp_path


def write_group(directory: Path, **files: str) -> None:
    directory.mkdir(parents=True)
    for name, content in files.items():
        (directory / name.replace("__", ".")).write_text(content)


def test_without_a_control_group_the_machine_decides(groups: Path) -> None:
    assert available_bytes() == 1000


def test_a_control_group_without_a_limit_is_no_limit(groups: Path) -> None:
    write_group(groups / "cgroup", memory__max="max\n", memory__current="5\n", memory__stat="")
    assert available_bytes() == 1000


@pytest.mark.parametrize("own", ["0::/\n", "0::/jobs/job\n"])
def test_the_closest_limit_of_version_2_counts_and_page_cache_is_no_use(
    groups: Path, own: str
) -> None:
    (groups / "own").write_text(own)
    write_group(
        groups / "cgroup",
        memory__max="700\n",
        memory__current="400\n",
        memory__stat="anon 1\ninactive_file 50\n",
    )
    job = groups / "cgroup" / "jobs" / "job"
    write_group(job, memory__max="90\n", memory__current="70\n", memory__stat="anon 2\n")
    assert available_bytes() == (350 if own == "0::/\n" else 20)


def test_a_limit_of_version_1_counts(groups: Path) -> None:
    (groups / "own").write_text("7:cpu,cpuacct:/job\n4:memory:/job\n")
    write_group(
        groups / "cgroup" / "memory" / "job",
        memory__limit_in_bytes="500",
        memory__usage_in_bytes="450",
        memory__stat="total_inactive_file 30",
    )
    assert available_bytes() == 80


def test_a_limit_that_is_exceeded_leaves_nothing(groups: Path) -> None:
    write_group(groups / "cgroup", memory__max="5", memory__current="9", memory__stat="")
    assert available_bytes() == 0
