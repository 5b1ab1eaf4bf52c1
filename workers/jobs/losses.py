"""Reports on recovered loss as one worker carries them out: a batch of one group at a time.

A batch is over in seconds or minutes, so there are no flushes: it is written down as a whole, or
handed back as a whole. The model of the last batch stays loaded until a shard is begun or another
source is asked about, for people ask about one unit after another.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import NamedTuple

import torch
from sqlalchemy import Engine

from app import db, loss_queue
from app.errors import AppError
from app.loss_queue import Group
from workers import loss_reports
from workers.jobs import loss_claims, queue
from workers.jobs.follow import SECONDS_OF_PATIENCE
from workers.jobs.loading import Loaded, load
from workers.jobs.loss_claims import LossBatch
from workers.jobs.options import WorkerOptions
from workers.jobs.pulse import Activity, Identity
from workers.jobs.session import AWAY, RETRYABLE, HandedBack, Unfit, go_on
from workers.jobs.settings import ScanRequest, ScanSettings

logger = logging.getLogger("unitscope.worker")

_SECONDS_UNFIT = 60.0
_SECONDS_BETWEEN_BATCHES = 1.0
_SECONDS_BETWEEN_TRIES = 2.0
_MOST_SECONDS_BACK = 60.0


class Left(NamedTuple):
    """How many groups of reports are left: for this worker, and those that it is unfit for."""

    for_us: int
    for_others: int


class Losses:
    """The reports that one worker measures, between shards.

    `has_measured`: since a shard was last offered. Then a shard that waits comes first.
    """

    def __init__(
        self, engine: Engine, options: WorkerOptions, activity: Activity, me: Identity
    ) -> None:
        self._engine, self._options, self._activity, self._me = engine, options, activity, me
        self._loaded: tuple[tuple[int, int], Loaded] | None = None
        self._unfit: dict[Group, float] = {}
        self.has_measured = False

    def close(self) -> None:
        """A shard comes: gives the memory back."""
        self._loaded = None

    def left(self) -> Left:
        """What is left of the queue, in whosever hands; nothing of it for who does not serve it."""
        if self._me.queues is not None and loss_queue.QUEUE not in self._me.queues:
            return Left(0, 0)
        with db.session(self._engine) as session:
            groups = loss_queue.groups_left(session)
        n_unfit = len(groups & self._unfit.keys())
        return Left(len(groups) - n_unfit, n_unfit)

    def run(self, group: Group, leaving: Event, *, make_room: Callable[[], None]) -> None:
        """Measures what of the group is free, or leaves it; never raises.

        `make_room` is called before a model is loaded.
        """
        if self._unfit.get(group, 0.0) > time.monotonic():
            return  # the sweep gives the task again, to whoever is quicker then
        try:
            if self._gives_way(group):
                return
            with self._activity.changing:
                held = loss_claims.claim(self._engine, group, self._me)
                if held is None:
                    return
                self._activity.begin(held, loss_claims.doing(held))
            if leaving.is_set():
                self._activity.should_stop.set()
            try:
                self._carry_out(held, make_room)
            finally:
                self._activity.end()
        except RETRYABLE as error:  # from the claim, or from writing down what came of it
            logger.warning("loss of source %s: %s", group.source_id, error)

    def _gives_way(self, group: Group) -> bool:
        """Whether the group waits for a shard: however many are asked for, scans go on as well."""
        if not self.has_measured or not queue.has_shards_waiting(self._engine):
            return False
        with db.session(self._engine) as session:
            loss_queue.defer(session, group, _SECONDS_BETWEEN_BATCHES)
        return True

    def _carry_out(self, held: LossBatch, make_room: Callable[[], None]) -> None:
        logger.info("loss of %s: begun", held.place)
        self.has_measured = True
        make_room()
        try:
            results = loss_reports.measure_batch(
                self._engine, held, partial(self._load, held), partial(go_on, self._activity)
            )
            self._patiently(lambda: loss_claims.settle(self._engine, held, results))
            logger.info("loss of %s: done", held.place)
        except Unfit as error:
            self._refuse(held, str(error))
        except HandedBack:
            loss_claims.hand_back(self._engine, held)
        except AppError as error:
            reason = error.message
            logger.warning("loss of %s: %s", held.place, reason)
            self._patiently(lambda: loss_claims.fail(self._engine, held, reason))
        except (*RETRYABLE, torch.OutOfMemoryError) as error:
            self._give_back(held, error)
        except Exception as error:
            logger.exception("loss of %s", held.place)
            self._give_back(held, error)

    def _load(self, held: LossBatch, request: ScanRequest, settings: ScanSettings) -> Loaded:
        """The model and the one source. Raises Unfit where that cannot be done here."""
        key = (held.group.scan_id, held.group.source_id)
        if self._loaded is not None and self._loaded[0] == key:
            return self._loaded[1]
        self._loaded = None
        options = self._options
        try:
            found = load(
                request,
                settings,
                options.device,
                trust_remote_code=options.trust_remote_code,
            )
        except AppError as error:
            raise Unfit(error.message) from error
        self._loaded = (key, found)
        return found

    def _refuse(self, held: LossBatch, reason: str) -> None:
        """Leaves reports that cannot be measured here to others, also to those that come later."""
        logger.warning("loss of %s cannot be measured here: %s", held.place, reason)
        self._unfit[held.group] = time.monotonic() + _SECONDS_UNFIT
        loss_claims.hand_back(self._engine, held, error=reason, is_counted=False)

    def _give_back(self, held: LossBatch, error: BaseException) -> None:
        """After a failure that another attempt may not have; each waits longer."""
        self._loaded = None
        said = f"{type(error).__name__}: {error}"[:2000]
        logger.warning("loss of %s: %s", held.place, said)
        seconds = min(2.0**held.n_attempts, _MOST_SECONDS_BACK)
        loss_claims.hand_back(self._engine, held, error=said, seconds=seconds)

    def _patiently(self, write: Callable[[], None]) -> None:
        """Writes what came of it, and waits for a database that is away."""
        until = time.monotonic() + SECONDS_OF_PATIENCE
        while True:
            try:
                return write()
            except AWAY as error:
                if self._activity.should_stop.is_set() or time.monotonic() > until:
                    raise
                logger.warning("waiting for the database: %s", error)
                self._activity.should_stop.wait(_SECONDS_BETWEEN_TRIES)
