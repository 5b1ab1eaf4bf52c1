"""The split of the standard library: the same on every run, near copies on one side."""

import sys

import pytest

from workers.sources.stdlib import HELD_OUT_PERCENT, is_held_out, read_source, stdlib_files


def test_names_are_sorted_unique_and_relative() -> None:
    names = [name for name, _ in stdlib_files()]
    assert names == sorted(set(names))
    assert all(name.endswith(".py") and not name.startswith("/") for name in names)


def test_third_party_packages_and_build_settings_are_left_out() -> None:
    names = [name for name, _ in stdlib_files()]
    assert not [name for name in names if "site-packages" in name or "_sysconfigdata" in name]


def test_listing_twice_gives_the_same() -> None:
    assert stdlib_files() == stdlib_files()


@pytest.mark.parametrize(
    ("name", "held_out"),
    [("tokenize.py", False), ("test/test_socket.py", True), ("encodings/cp1252.py", False)],
)
def test_side_of_a_module_never_changes(name: str, held_out: bool) -> None:
    assert is_held_out(name) is held_out


def test_share_held_out_is_near_what_is_promised() -> None:
    names = [name for name, _ in stdlib_files()]
    share = sum(map(is_held_out, names)) / len(names)
    assert 0.75 * HELD_OUT_PERCENT <= 100 * share <= 1.25 * HELD_OUT_PERCENT


@pytest.mark.parametrize(
    ("fork", "original"),
    [("lib2to3/pgen2/tokenize.py", "tokenize.py"), ("ntpath.py", "posixpath.py")],
)
def test_forks_fall_on_the_side_of_their_original(fork: str, original: str) -> None:
    assert is_held_out(fork) is is_held_out(original)


def test_source_with_a_broken_encoding_is_none(tmp_path) -> None:
    path = tmp_path / "broken.py"
    path.write_bytes(b"# coding: utf-8\nx = '\xff'\n")
    assert read_source(path) is None


def test_declared_encoding_is_used(tmp_path) -> None:
    path = tmp_path / "latin.py"
    path.write_bytes("# coding: latin-1\nx = 'é'\n".encode("latin-1"))
    assert read_source(path) == "# coding: latin-1\nx = 'é'\n"


def test_listing_needs_no_torch() -> None:
    module = sys.modules["workers.sources.stdlib"]
    assert not hasattr(module, "torch")
