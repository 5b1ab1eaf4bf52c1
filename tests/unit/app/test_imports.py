"""Which way imports point: the web side stays without torch, the workers without pages."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {"torch", "transformers", "transformer_lens", "sae_lens", "workers", "numba"}
BRIDGE = ROOT / "app" / "indexing.py"
KERNELS = {  # numba, loaded at the first question
    ROOT / "app" / "atlas" / "kernels.py",
    ROOT / "app" / "labels" / "kernels.py",
    ROOT / "app" / "rule_search" / "kernels.py",
}
WORKERS_MAY_USE = {
    "app.codec",
    "app.config",
    "app.db",
    "app.embedded",
    "app.errors",
    "app.loss_queue",
    "app.models",
    "app.partitions",
    "app.rules",
    "app.slugs",
    "app.tasks",
}


@pytest.mark.parametrize("module", ["app.main", "app.cli", "app.serving", "app.demo", "app.doctor"])
def test_importing_the_web_side_leaves_torch_unloaded(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & {HEAVY!r}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert loaded.strip() == ""


def test_help_is_told_without_loading_the_database_or_the_server() -> None:
    code = (
        "import sys, app.cli\n"
        "try: app.cli.app(['index', '--help'])\n"
        "except SystemExit: pass\n"
        "print(*sorted({'sqlalchemy', 'fastapi', 'alembic', 'torch'} & set(sys.modules)),"
        " file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "--corpus" in done.stdout
    assert done.stderr.strip() == ""


def test_app_imports_workers_and_torch_only_in_the_bridge() -> None:
    offenders = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "app").rglob("*.py")
        for name in imported_names(path)
        if name.split(".")[0] in HEAVY - ({"numba"} if path in KERNELS else set())
        and path != BRIDGE
    ]
    assert offenders == []


def test_workers_know_the_tables_and_not_the_pages() -> None:
    offenders = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "workers").rglob("*.py")
        for name in imported_names(path)
        if name.split(".")[0] == "app" and not any(is_within(name, ok) for ok in WORKERS_MAY_USE)
    ]
    assert offenders == []


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def imported_names(path: Path) -> list[str]:
    """Modules that a file imports; of `from app import db`, `app.db`."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module in {"app", "workers"}:
                names += [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                names.append(node.module)
    return names
