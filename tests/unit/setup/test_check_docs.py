"""The check of the documents finds what it is there to find."""

import subprocess
from pathlib import Path

import pytest

from setup import check_docs


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository in the check's eyes."""
    monkeypatch.setattr(check_docs, "ROOT", tmp_path)
    monkeypatch.setattr(check_docs, "README", tmp_path / "README.md")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


def add(tree: Path, name: str, text: str) -> None:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    subprocess.run(["git", "-C", tree, "add", name], check=True)


def test_a_link_that_leads_nowhere_is_found(tree: Path) -> None:
    add(tree, "docs/a.md", "[there](b.md) and [not](c.md) and `[code](d.md)`")
    add(tree, "docs/b.md", "# B")
    assert list(check_docs.broken_links()) == ["docs/a.md: the link c.md leads nowhere"]


def test_a_heading_that_is_not_there_is_found(tree: Path) -> None:
    add(tree, "a.md", "# One & Two\n[up](#one--two) [down](#three)")
    assert list(check_docs.broken_links()) == ["a.md: a.md has no heading for #three"]


@pytest.mark.parametrize(
    "text",
    [
        "https" + "://registry.somewhere.net/x",
        "see /" + "home/ann/thesis",
        "/" + "root/x",
    ],
)
def test_hosts_and_paths_of_a_machine_are_found(tree: Path, text: str) -> None:
    add(tree, "a.txt", text)
    assert len(list(check_docs.named_places())) == 1


def test_places_that_anybody_has_are_passed(tree: Path) -> None:
    add(
        tree, "a.txt", "http://127.0.0.1:8000/demo http://www.w3.org/2000/svg /usr/bin/env ./home/x"
    )
    assert list(check_docs.named_places()) == []


def test_every_setting_is_in_the_table() -> None:
    table = check_docs.settings_table()
    for name in check_docs.Settings.model_fields:
        assert f"`UNITSCOPE_{name.upper()}`" in table


def test_a_stale_table_is_found_and_renewed(tree: Path) -> None:
    add(tree, "README.md", f"before\n{check_docs.BEGIN}\nold\n{check_docs.END}\nafter\n")
    assert len(list(check_docs.stale_table())) == 1
    (tree / "README.md").write_text(check_docs.renewed_readme())
    assert list(check_docs.stale_table()) == []
    assert (tree / "README.md").read_text().startswith("before\n")
    assert (tree / "README.md").read_text().endswith("\nafter\n")
