"""A worker's sign of life: a thread that writes its row every two seconds, and reads what it should
stop doing. Now and then it also sweeps the queue. All times are the database server's.

A flush waits for a database that is away, and the queue's loop for the flush; so it is here that an
embedded one which broke down is started again.
"""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any, Protocol
from uuid import UUID, uuid4

from procrastinate.exceptions import ConnectorException
from sqlalchemy import Engine, delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app import db, embedded
from app.config import get_settings
from app.models import Worker
from workers.jobs import queue

logger = logging.getLogger("unitscope.worker")

SECONDS_BETWEEN_BEATS = 2.0
_BEATS_BETWEEN_SWEEPS = 3
_SECONDS_OF_RATE = 8.0


class Held(Protocol):
    """What a worker has in hand: a shard, or a batch of reports."""

    @property
    def scan_id(self) -> int:
        """The scan that it is of."""

    @property
    def index(self) -> int | None:
        """The shard's."""

    @property
    def batch(self) -> UUID | None:
        """The reports'."""

    def is_wanted(self, session: Session) -> bool:
        """Whether it is still ours, and what comes of it still wanted."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a worker is; `queues` are those that it serves, None for all."""

    worker_id: UUID
    name: str
    device: str
    queues: tuple[str, ...] | None = None

    @property
    def row(self) -> dict[str, Any]:
        """What never changes of its row."""
        queues = None if self.queues is None else list(self.queues)
        return {"id": self.worker_id, "name": self.name, "device": self.device, "queues": queues}


@dataclass
class Activity:
    """What a worker does now; written by its working thread, read by its pulse."""

    held: Held | None = None
    doing: str = "waiting"
    n_tokens: int = 0
    should_stop: Event = field(default_factory=Event)
    _counts: deque[tuple[float, int]] = field(default_factory=deque)
    _total: int = 0
    _lock: Lock = field(default_factory=Lock)
    changing: Lock = field(default_factory=Lock)
    """Held while a shard is claimed or a beat is written, so that neither overwrites the other."""

    def begin(self, held: Held, doing: str) -> None:
        """A shard is begun."""
        with self._lock:
            self.held, self.doing, self.n_tokens = held, doing, 0
            self.should_stop.clear()
            self._counts.clear()

    def stop(self, held: Held) -> None:
        """Asks whoever has `held` in hand to stop; what came after it is none of our business."""
        with self._lock:
            if self.held is held:
                self.should_stop.set()

    def say(self, doing: str) -> None:
        """The same shard, another stage."""
        self.doing = doing

    def add(self, n_tokens: int) -> None:
        """So many more counted positions were scanned, and are not flushed yet."""
        with self._lock:
            self.n_tokens += n_tokens
            self._total += n_tokens

    def flushed(self) -> None:
        """What was scanned stands in the shard's row now."""
        with self._lock:
            self.n_tokens = 0

    def end(self) -> None:
        """Nothing is in hand."""
        with self._lock:
            self.held, self.doing, self.n_tokens = None, "waiting", 0

    def rate(self) -> float | None:
        """Tokens a second over the last seconds; None where nothing is scanned."""
        now = time.monotonic()
        with self._lock:
            self._counts.append((now, self._total))
            while len(self._counts) > 2 and now - self._counts[0][0] > _SECONDS_OF_RATE:
                self._counts.popleft()
            then, total = self._counts[0]
            if self.doing != "scanning" or now == then:
                return None
            return (self._total - total) / (now - then)


class Pulse:
    """Beats from `start` to `stop`; a database that is away for a while stops nothing."""

    def __init__(
        self, engine: Engine, device: str, activity: Activity, queues: Sequence[str] | None = None
    ) -> None:
        name = f"{socket.gethostname()}:{os.getpid()}"
        self.me = Identity(uuid4(), name, device, None if queues is None else tuple(queues))
        self._engine, self._activity = engine, activity
        self._over = Event()
        self._is_away = False
        self._thread = Thread(target=self._run, name="pulse", daemon=True)

    @property
    def worker_id(self) -> UUID:
        """The worker's."""
        return self.me.worker_id

    def start(self) -> None:
        """The first beat and sweep are over when this returns: claims need the worker's row.

        Unless the database is away just now: what is claimed before the next beat looks free.
        """
        self._try(is_sweep=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the beats and takes the worker's row away, which frees what it may still hold."""
        self._over.set()
        self._thread.join()
        try:
            with db.session(self._engine) as session:
                session.execute(delete(Worker).where(Worker.id == self.worker_id))
        except DBAPIError:
            logger.info("the database is away; the worker's row will be forgotten later")

    def _run(self) -> None:
        n_beats = 0
        while not self._over.wait(SECONDS_BETWEEN_BEATS):
            n_beats += 1
            self._try(is_sweep=n_beats % _BEATS_BETWEEN_SWEEPS == 0)

    def _try(self, *, is_sweep: bool) -> None:
        try:
            self._beat()
            if self._is_away:
                self._is_away = False
                logger.warning("the database is back")
            if is_sweep:
                queue.sweep(self._engine)
        except (DBAPIError, ConnectorException) as error:
            self._say_away(error)
            embedded.revive(get_settings().data_dir, self._engine.url)

    def _say_away(self, error: Exception) -> None:
        """Once for each time that it is away."""
        if not self._is_away:
            logger.warning("no sign of life could be given: %s", error)
        self._is_away = True

    def _beat(self) -> None:
        with self._activity.changing:
            self._write_beat()

    def _write_beat(self) -> None:
        activity = self._activity
        held = activity.held
        row = {
            "scan_id": held and held.scan_id,
            "shard": held and held.index,
            "batch": held and held.batch,
            "doing": activity.doing,
            "n_tokens_done": activity.n_tokens,
            "tokens_per_second": activity.rate(),
            "seen_at": func.now(),
        }
        new = insert(Worker).values(**self.me.row, **row)
        with db.session(self._engine) as session:
            session.execute(new.on_conflict_do_update(index_elements=[Worker.id], set_=row))
            if held is not None and not held.is_wanted(session):
                activity.stop(held)
