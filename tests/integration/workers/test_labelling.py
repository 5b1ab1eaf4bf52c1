"""A scan that is complete has its units labelled; what goes wrong there leaves the scan alone."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, select

from app import db
from app.labels.making import after_scan
from app.models import Label, Scan, Source
from workers.index import IndexRequest, run_index
from workers.progress import Silent


@pytest.fixture
def request_(tmp_path: Path, model_directory: Callable[[str], Path]) -> IndexRequest:
    text = tmp_path / "a.txt"
    rng = np.random.default_rng(0)
    words = ["def", "return", "x", "y", "(", ")", ":", "1", "2", "\n"]
    text.write_text(" ".join(rng.choice(words, 1500)))
    model = str(model_directory("gpt2"))
    return IndexRequest(model=model, corpus=str(text), neurons="0", context=16, device="cpu")


def status(engine: Engine) -> list[str]:
    with db.session(engine) as session:
        return list(session.scalars(select(Scan.status)))


def test_labels_are_made_once_the_scan_is_complete(engine: Engine, request_: IndexRequest) -> None:
    said: list[str] = []
    seen: list[list[str]] = []

    def then(scan_id: int) -> None:
        seen.append(status(engine))
        after_scan(engine, scan_id, said.append)

    run_index(request_, engine, Silent(), then)
    assert seen == [["complete"]]
    with db.session(engine) as session:
        n_units = session.scalars(select(Source.n_units)).one()
        labels = session.scalars(select(Label)).all()
    assert said == [f"Labelling {n_units:,} units"]
    assert 0 < len(labels) <= n_units
    assert all(0 <= label.r2 <= 1 for label in labels)


def test_what_fails_afterwards_leaves_the_scan_complete(
    engine: Engine, request_: IndexRequest
) -> None:
    def then(scan_id: int) -> None:
        raise ZeroDivisionError

    result = run_index(request_, engine, Silent(), then)
    assert result.is_complete
    assert status(engine) == ["complete"]


def test_what_hinders_labels_is_said_in_a_line(engine: Engine) -> None:
    said: list[str] = []
    partial(after_scan, engine, report=said.append)(17)
    (line,) = said
    assert "no job 17" in line
    assert "unitscope label" in line
