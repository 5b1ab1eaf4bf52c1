"""Explanations out of a database and into one: whole, unchanged, and never half."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete

from app import db
from app.access.tokens import Writer
from app.errors import AppError
from app.explanations import queries, service
from app.models import Explanation
from app.notes import commands
from tests.integration.seed import DEAD, seed

HOSTILE = "café 🙂 <b>\u202e\nsecond line"


@pytest.fixture(scope="module")
def seeded_engine(module_engine: Engine) -> Engine:
    seed(module_engine)
    return module_engine


@pytest.fixture
def lines(
    seeded_engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> list[dict[str, Any]]:
    """Two that were written and exported, and are no longer in the database."""
    monkeypatch.setattr(db, "get_engine", lambda: seeded_engine)
    with db.session(seeded_engine) as session:
        session.execute(delete(Explanation))
        for text, unit in ((HOSTILE, 5), ("dead", DEAD)):
            service.write(session, "tiny-a", "sae-1", unit, text, Writer("ada", frozenset()))
    commands.export("explanations", "tiny-a", str(tmp_path / "out"))
    with db.session(seeded_engine) as session:
        session.execute(delete(Explanation))
    return [json.loads(line) for line in (tmp_path / "out").read_bytes().splitlines()]


def bring_in(lines: list[dict[str, Any]], folder: Path) -> None:
    file = folder / "in"
    file.write_text("".join(json.dumps(line) + "\n\n" for line in lines))
    commands.import_("explanations", str(file))


def there(engine: Engine) -> list[dict[str, Any]]:
    with db.session(engine) as session:
        found = queries.all_of_model(session, "tiny-a")
        return [each.model_dump(mode="json", exclude={"id", "links"}) for each in found]


def test_what_is_imported_is_what_was_exported_and_once(
    seeded_engine: Engine,
    lines: list[dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bring_in(lines, tmp_path)
    bring_in(lines, tmp_path)
    wanted = [{k: v for k, v in line.items() if k not in ("id", "links")} for line in lines]
    assert there(seeded_engine) == wanted
    assert "0 explanations are new, 2 were here already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"index": 10_000}, "Line 3: .*no unit 10000"),
        ({"model_weights_hash": "other"}, "Line 3: .*the same weights"),
        ({"source": "a\0"}, "Line 3: "),
        ({"text": "a\0"}, "Line 3: "),
        ({"text": ""}, "Line 3: "),
        ({"created_at": "2026-01-01T00:00:00"}, "Line 3: created_at"),
        ({"author": 7}, "Line 3: author"),
    ],
)
def test_one_bad_line_brings_in_nothing(
    seeded_engine: Engine,
    lines: list[dict[str, Any]],
    tmp_path: Path,
    change: dict[str, Any],
    said: str,
) -> None:
    with pytest.raises(AppError, match=said):
        bring_in([lines[0], lines[1] | change], tmp_path)
    assert there(seeded_engine) == []


def test_a_file_that_is_not_there_is_named(seeded_engine: Engine, lines: list[Any]) -> None:
    with pytest.raises(AppError, match="nowhere"):
        commands.import_("explanations", "nowhere")
