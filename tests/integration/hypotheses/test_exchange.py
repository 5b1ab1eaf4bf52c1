"""Hypotheses out of a database and into one: whole, unchanged, and never half."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete

from app import db
from app.access.tokens import Writer
from app.errors import AppError, Conflict, InvalidInput, NotFound
from app.hypotheses import queries, service
from app.hypotheses.schemas import HypothesisDetail, NewHypothesis
from app.models import Hypothesis
from app.notes import commands
from app.rules.text import parse
from tests.integration.seed import DEAD, seed

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def seeded_engine(module_engine: Engine) -> Engine:
    seed(module_engine)
    return module_engine


@pytest.fixture
def saved(seeded_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[HypothesisDetail]:
    """Two that are in the database, which the commands use; the newest first."""
    monkeypatch.setattr(db, "get_engine", lambda: seeded_engine)
    with db.session(seeded_engine) as session:
        session.execute(delete(Hypothesis))
        for name, unit in (("café 🙂", 5), ("<b>\u202e", DEAD)):
            new = NewHypothesis(name=name, rule=parse('"\\n" | /a\n/'), threshold="best")
            writer = Writer("ada", frozenset())
            service.save(session, "tiny-a", "sae-1", unit, new, writer)
    return listed(seeded_engine)


def listed(engine: Engine) -> list[HypothesisDetail]:
    with db.session(engine) as session:
        return queries.list_of_model(session, "tiny-a").items


def told(items: list[HypothesisDetail]) -> list[dict[str, Any]]:
    return [each.model_dump(exclude={"id", "links"}) for each in items]


def forget(engine: Engine) -> None:
    with db.session(engine) as session:
        session.execute(delete(Hypothesis))


def test_what_is_exported_and_imported_is_what_it_was(
    seeded_engine: Engine,
    saved: list[HypothesisDetail],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.jsonl"
    commands.export("hypotheses", "tiny-a", str(out))
    commands.import_("hypotheses", str(out))
    assert listed(seeded_engine) == saved
    forget(seeded_engine)
    commands.import_("hypotheses", str(out))
    assert told(listed(seeded_engine)) == told(saved)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("2 hypotheses of tiny-a")
    assert [line.split()[0] for line in said[1:]] == ["0", "2"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_line_holds_all_of_one(
    saved: list[HypothesisDetail], capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    commands.export("hypotheses", "tiny-a", "-")
    lines = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [line["name"] for line in lines] == ["café 🙂", "<b>\u202e"]
    for line, each in zip(lines, reversed(saved), strict=True):
        assert json.loads(each.model_dump_json()).items() <= line.items()
        assert line["model_weights_hash"] == "weights-of-tiny-a"
        assert line["source_weights_hash"] == "weights-of-sae-1"


def test_what_cannot_be_written_leaves_what_was_there(
    saved: list[HypothesisDetail], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("before")
    with pytest.raises(NotFound):
        commands.export("hypotheses", "no-model", str(out))
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(InvalidInput, match="full"):
        commands.export("hypotheses", "tiny-a", str(out))
    assert out.read_text() == "before" and list(tmp_path.iterdir()) == [out]
    for path in (tmp_path, tmp_path / "no" / "where", "/dev/null"):
        with pytest.raises(InvalidInput, match="--out"):
            commands.export("hypotheses", "tiny-a", str(path))
    with pytest.raises(InvalidInput, match="cannot be read"):
        commands.import_("hypotheses", str(tmp_path / "none"))


def put(**values: Any) -> Change:
    return lambda line: line.update(values)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (put(name=""), InvalidInput),
        (put(name="a" * 201), InvalidInput),
        (put(name="x\0"), InvalidInput),
        (put(author="x\0"), InvalidInput),
        (put(corpus="x\0"), InvalidInput),
        (put(rule={"regex": "("}), InvalidInput),
        (put(created_at="2026-01-01T00:00:00"), InvalidInput),
        (put(surprise=1, figures=None), InvalidInput),
        (lambda line: line["figures"].update(threshold=float("nan")), InvalidInput),
        (lambda line: line["figures"].update(threshold_asked=-1), InvalidInput),
        (lambda line: line["figures"].update(software_version="\0"), InvalidInput),
        (put(index=20), NotFound),
        (put(index=-1), NotFound),
        (put(model_weights_hash="other"), NotFound),
        (put(source="\0"), NotFound),
        (put(name="café 🙂", corpus="other-text", index=5), Conflict),
    ],
)
def test_a_line_that_will_not_do_is_named_and_nothing_is_added(
    seeded_engine: Engine,
    saved: list[HypothesisDetail],
    tmp_path: Path,
    change: Change,
    error: type[AppError],
) -> None:
    out = tmp_path / "out.jsonl"
    commands.export("hypotheses", "tiny-a", str(out))
    first, second = map(json.loads, out.read_text().splitlines())
    change(second)
    out.write_text("\n".join(json.dumps(line) for line in (first, second)))
    forget(seeded_engine)
    with pytest.raises(error, match="Line 2"):
        commands.import_("hypotheses", str(out))
    assert listed(seeded_engine) == []


def test_units_are_told_by_their_weights_and_not_by_the_models_name(
    seeded_engine: Engine, saved: list[HypothesisDetail], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    commands.export("hypotheses", "tiny-a", str(out))
    out.write_text(out.read_text().replace('"tiny-a"', '"tiny-b"'))
    forget(seeded_engine)
    commands.import_("hypotheses", str(out))
    assert told(listed(seeded_engine)) == told(saved)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"created_at": "0001-01-01T00:00:00+14:00"}, "in the year 1"),
        ({"updated_at": "9999-12-31T23:59:59-14:00"}, "in the year 9999"),
        ({"figures": {"mcc": 7.0}}, "no report says such"),
        ({"figures": {"n_matched": 10**40}}, "no report says such"),
        ({"figures": {"threshold": -5.0}}, "no report says such"),
        ({"figures": {"ci": {"auroc": [0.5, 0.25]}}}, "no report says such"),
    ],
)
def test_what_nobody_could_have_exported_is_refused(
    seeded_engine: Engine,
    saved: list[HypothesisDetail],
    tmp_path: Path,
    change: dict[str, Any],
    said: str,
) -> None:
    commands.export("hypotheses", "tiny-a", str(tmp_path / "out"))
    forget(seeded_engine)
    line = json.loads((tmp_path / "out").read_text().splitlines()[0])
    line["figures"] |= change.get("figures", {})
    (tmp_path / "in").write_text(
        json.dumps(line | {k: v for k, v in change.items() if k != "figures"})
    )
    with pytest.raises(InvalidInput, match=f"Line 1: .*{said}"):
        commands.import_("hypotheses", str(tmp_path / "in"))
    assert listed(seeded_engine) == []
