"""What a long run tells the person who waits: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import Protocol, Self, TextIO

SECONDS_BETWEEN_LINES = 5.0


class Progress(Protocol):
    """Told what is going on; never asked."""

    def note(self, text: str) -> None:
        """A sentence for the user."""

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """A stage begins: `total` things (None: not known yet) called `unit` are to be done."""

    def advance(self, n: int) -> None:
        """`n` more are done."""

    def finish(self) -> None:
        """The stage is over."""


class Silent:
    """Tells nobody."""

    def note(self, text: str) -> None: ...

    def start(self, stage: str, total: int | None, unit: str) -> None: ...

    def advance(self, n: int) -> None: ...

    def finish(self) -> None: ...


class Lines:
    """Plain lines, one when a stage begins, one now and then, one at its end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._stage, self._unit = "", ""
        self._total: int | None = None
        self._done = 0
        self._began = self._told = 0.0

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def start(self, stage: str, total: int | None, unit: str) -> None:
        self._stage, self._total, self._unit, self._done = stage, total, unit, 0
        self._began = self._told = time.monotonic()
        self.note(f"{stage} …")

    def advance(self, n: int) -> None:
        self._done += n
        now = time.monotonic()
        if now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            self.note(f"{self._stage}: {self._state(now)}")

    def finish(self) -> None:
        now = time.monotonic()
        rate = self._done / max(now - self._began, 1e-9)
        took = f"in {clock(now - self._began)}"
        if self._done:
            took = f"{self._done:,} {self._unit} {took}, {rate:,.0f} {self._unit}/s"
        self.note(f"{self._stage}: {took}")

    def _state(self, now: float) -> str:
        rate = self._done / max(now - self._began, 1e-9)
        speed = f"{self._done:,} {self._unit}, {rate:,.0f} {self._unit}/s"
        if not self._total:
            return speed
        left = (self._total - self._done) / max(rate, 1e-9)
        return f"{self._done / self._total:.0%}, {speed}, {clock(left)} left"


class Bar:
    """A bar that is redrawn in place: share done, speed, time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskID,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[speed]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None
        self._unit = ""

    def begin(self) -> None:
        """Draws from now on."""
        self._bars.start()

    def end(self) -> None:
        """Gives the terminal back."""
        self._bars.stop()

    def note(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)

    def start(self, stage: str, total: int | None, unit: str) -> None:
        self._unit = unit
        self._task = self._bars.add_task(stage, total=total, speed="")

    def advance(self, n: int) -> None:
        assert self._task is not None, "advance before start"
        task = self._bars.tasks[self._task]
        rate = task.finished_speed or task.speed
        speed = f"{rate:,.0f} {self._unit}/s" if rate else ""
        self._bars.update(self._task, advance=n, speed=speed)

    def finish(self) -> None:
        assert self._task is not None, "finish before start"
        task = self._bars.tasks[self._task]
        done = max(task.completed, 1)
        self._bars.update(self._task, total=done, completed=done)


class TerminalProgress:
    """A bar where standard error is a terminal, plain lines where it is not."""

    def __init__(self) -> None:
        self._bar: Bar | None = Bar() if sys.stderr.isatty() else None
        self._told: Progress = self._bar or Lines(sys.stderr)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.end()

    def note(self, text: str) -> None:
        self._told.note(text)

    def start(self, stage: str, total: int | None, unit: str) -> None:
        self._told.start(stage, total, unit)

    def advance(self, n: int) -> None:
        self._told.advance(n)

    def finish(self) -> None:
        self._told.finish()


def clock(seconds: float) -> str:
    """`0:07`, `12:30`, `3:05:00`."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
