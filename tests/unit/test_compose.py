"""docker-compose.yml says what the code has: its commands, its settings, its ports and places."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from app.cli import app
from app.config import Settings

ROOT = Path(__file__).resolve().parents[2]
DURATION = re.compile(r"\d+(s|m)")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


@pytest.fixture(scope="module")
def ours(compose: dict[str, Any]) -> dict[str, Any]:
    """The services that run our image."""
    return {
        name: each for name, each in compose["services"].items() if each["image"] != "postgres:18"
    }


def test_every_service_runs_a_command_that_there_is(ours: dict[str, Any]) -> None:
    known = set(typer.main.get_command(app).commands)
    for name, service in ours.items():
        command = [*service.get("entrypoint", ["unitscope"]), *service["command"]]
        assert command[0] == "unitscope"
        assert command[1] in known, f"{name} runs {' '.join(command)}"


def test_every_setting_is_one_that_there_is(ours: dict[str, Any]) -> None:
    known = {f"UNITSCOPE_{name.upper()}" for name in Settings.model_fields}
    for service in ours.values():
        assert set(service["environment"]) <= known | {"HF_HOME"}
        assert "@db/" in service["environment"]["UNITSCOPE_DATABASE_URL"]


def test_every_volume_and_every_service_named_is_there(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        for volume in service.get("volumes", []):
            source = volume.rpartition(":/")[0].partition(":/")[0]
            assert source.startswith("$") or source in compose["volumes"], volume


def test_workers_can_be_many_and_stop_in_their_own_time(ours: dict[str, Any]) -> None:
    worker = ours["worker"]
    assert worker["restart"] == "unless-stopped"
    assert "container_name" not in worker and "ports" not in worker
    assert DURATION.fullmatch(worker["stop_grace_period"])


def test_workers_read_models_where_index_was_told_they_are(ours: dict[str, Any]) -> None:
    assert ours["worker"]["volumes"] == ours["index"]["volumes"]
    assert ours["worker"]["environment"] == ours["index"]["environment"]


def test_indexing_begins_only_when_asked_for(ours: dict[str, Any]) -> None:
    assert [name for name, each in ours.items() if "profiles" in each] == ["index"]


def test_the_image_has_every_folder_that_the_code_needs() -> None:
    copied = re.findall(r"^COPY (\w+) \w+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {"app", "workers", "demo", "migrations", "templates", "static"} <= set(copied)
