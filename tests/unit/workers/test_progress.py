"""Progress: plain lines say the stage, the share done, the speed and the time left."""

import io

import pytest

from workers import progress
from workers.progress import Lines, TerminalProgress, clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time[0])
    return time


def test_lines_come_when_a_stage_begins_now_and_then_and_at_its_end(now: list[float]) -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.start("Scanning 7 units", 1000, "tokens")
    now[0] += 1
    lines.advance(100)  # too soon for a line
    now[0] += 9
    lines.advance(150)
    now[0] += 10
    lines.advance(750)
    lines.finish()
    assert stream.getvalue().splitlines() == [
        "Scanning 7 units …",
        "Scanning 7 units: 25%, 250 tokens, 25 tokens/s, 0:30 left",
        "Scanning 7 units: 100%, 1,000 tokens, 50 tokens/s, 0:00 left",
        "Scanning 7 units: 1,000 tokens in 0:20, 50 tokens/s",
    ]


def test_a_stage_of_unknown_length_tells_no_time_left(now: list[float]) -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.start("Reading", None, "tokens")
    now[0] += 10
    lines.advance(50)
    assert stream.getvalue().splitlines()[-1] == "Reading: 50 tokens, 5 tokens/s"


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with TerminalProgress() as told:
        told.note("[bold]as it stands[/bold]")
        told.start("Storing", 2, "units")
        told.advance(2)
        told.finish()
    shown = capsys.readouterr().err
    assert "[bold]as it stands[/bold]" in shown
    assert "\x1b" not in shown


def test_on_a_terminal_there_is_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with TerminalProgress() as told:
        told.note("[bold]as it stands[/bold]")
        told.start("Storing [units]", 2, "units")
        told.advance(2)
        told.finish()
    shown = capsys.readouterr().err
    assert "[bold]as it stands[/bold]" in shown
    assert "Storing [units]" in shown
    assert "100%" in shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(7, "0:07"), (750.9, "12:30"), (11100, "3:05:00"), (-1, "0:00")]
)
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
