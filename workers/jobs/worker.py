"""A worker process: takes shards from the queue, one at a time, until it is told to leave.

The queue's own loop (procrastinate) waits for tasks; each runs in a thread of its own and ends in
one of four ways: the shard is flushed; it is handed back (we leave, or something failed that may go
better another time); the scan fails (the same failure would come again); or it is no longer ours,
and what we have of it is thrown away. Nothing of that is lost when the process is killed: the shard
is then free after a few seconds, and goes on from its last flush.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from threading import Event

import procrastinate
import psycopg
import torch
from procrastinate.exceptions import ConnectorException
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from app import db, loss_queue
from app.errors import AppError, Conflict, InvalidInput
from app.loss_queue import Group
from workers.jobs import claims, ledger, queue
from workers.jobs.claims import Claim, ClaimLost
from workers.jobs.loading import Loaded
from workers.jobs.losses import Losses
from workers.jobs.options import WorkerOptions
from workers.jobs.pulse import Activity, Pulse
from workers.jobs.session import RETRYABLE, HandedBack, ScanSession, Unfinished, Unfit
from workers.sources.language_models import choose_device

logger = logging.getLogger("unitscope.worker")

_SECONDS_BETWEEN_CONNECTIONS = 1.0
_SECONDS_BETWEEN_POLLS = 2.0
_SECONDS_TO_CONNECT = 5.0
"""The queue's own patience, several times over when a worker leaves while the database is away."""
_MOST_SECONDS_BACK = 60.0
_SECONDS_UNFIT, _SECONDS_LEFT_TO_OTHERS = 60.0, 5.0


class ShardWorker:
    """One worker; `queues` are the scans that it serves, None for all.

    `after_scan` is called with every scan that this worker has completed, once that is committed;
    nothing that it raises touches the scan. It is not called where the process is killed between.
    Raises InvalidInput for a device that this machine does not have.
    """

    def __init__(
        self,
        engine: Engine,
        options: WorkerOptions,
        queues: Sequence[str] | None = None,
        after_scan: Callable[[int], None] | None = None,
    ) -> None:
        self._engine, self._options, self._queues = engine, options, queues
        self._after_scan = after_scan
        self._activity = Activity()
        self._device = str(choose_device(options.device))
        self._pulse = Pulse(engine, self._device, self._activity, queues)
        self._losses = Losses(engine, options, self._activity, self._pulse.me)
        self._session: ScanSession | None = None
        self._leaving = Event()
        self._unfit: dict[int, float] = {}
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None

    def adopt(self, scan_id: int, loaded: Loaded) -> None:
        """Takes a model that is loaded already for the scan it was loaded for."""
        self._session = ScanSession(self._engine, scan_id, self._options, loaded)

    def run(self) -> None:
        """Serves until `leave`; a database that goes away is waited for.

        One that should end by itself raises Conflict where what is left cannot be done here.
        """
        self._pulse.start()
        logger.info("working on %s", self._device)
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._forget_session()
            self._pulse.stop()

    def check(self) -> None:
        """Raises what makes this worker useless to the process that waits for it."""
        if self._failure is not None:
            raise self._failure

    def leave(self) -> None:
        """Ends `run` soon: the shard in hand is flushed as far as it is, and handed back.

        May be called from any thread, and from a signal's handler.
        """
        self._leaving.set()
        self._activity.should_stop.set()
        if self._loop is not None and self._serving is not None:
            self._loop.call_soon_threadsafe(self._serving.cancel)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not self._leaving.is_set():
            self._serving = asyncio.create_task(self._serve_once())
            if self._leaving.is_set():
                self._serving.cancel()
            try:
                await self._serving
                if self._options.is_once and await asyncio.to_thread(self._is_through):
                    return
            except asyncio.CancelledError:
                continue
            except (ConnectorException, psycopg.Error, DBAPIError, OSError) as error:
                logger.warning("connecting again: %s", error)
                await asyncio.sleep(_SECONDS_BETWEEN_CONNECTIONS)

    def _is_through(self) -> bool:
        """Whether nothing is left to do; where something is, some time has passed."""
        queue.sweep(self._engine)
        left = queue.scans_with_work(self._engine, self._queues)
        reports = self._losses.left()
        if left <= self._unfit.keys() and not reports.for_us:
            if left or reports.for_others:
                raise Conflict(_nothing_for_us(left, reports.for_others))
            return True
        self._leaving.wait(_SECONDS_BETWEEN_CONNECTIONS)
        return False

    async def _serve_once(self) -> None:
        url = self._engine.url.set(drivername="postgresql")
        connector = procrastinate.PsycopgConnector(
            conninfo=url.render_as_string(hide_password=False),
            kwargs=db.CONNECT_ARGS,
            min_size=1,
            max_size=3,
            timeout=_SECONDS_TO_CONNECT,
        )
        app = procrastinate.App(connector=connector)
        app.task(name=queue.RUN_SHARD)(self._run_shard)
        app.task(name=loss_queue.RUN_LOSS)(self._run_loss)
        async with app.open_async():
            await app.run_worker_async(
                queues=self._queues,  # type: ignore[arg-type]  # None means all
                name=str(self._pulse.worker_id),
                wait=not self._options.is_once,
                delete_jobs="always",
                install_signal_handlers=False,
                fetch_job_polling_interval=_SECONDS_BETWEEN_POLLS,
            )

    def _run_shard(self, scan_id: int, shard: int) -> None:
        """The task: whatever comes of it is written down, so it never raises for the queue."""
        self._losses.has_measured = False
        if self._leaving.is_set() or self._is_left_to_others(scan_id):
            return
        try:
            with self._activity.changing:
                held = claims.claim(self._engine, scan_id, shard, self._pulse.worker_id)
                if held is None:
                    return
                self._activity.begin(held, "loading")
        except DBAPIError as error:
            logger.warning("shard %s of scan %s could not be claimed: %s", shard, scan_id, error)
            return
        if self._leaving.is_set():
            self._activity.should_stop.set()
        self._losses.close()
        is_complete = False
        try:
            is_complete = self._carry_out(held)
        except RETRYABLE as error:  # from writing down what came of it
            logger.warning("shard %s of scan %s: %s", shard, scan_id, error)
            self._forget_session()
        finally:
            self._activity.end()
        if is_complete:
            self._follow_up(scan_id)

    def _run_loss(self, scan_id: int, source_id: int, n_windows: int, seed: int) -> None:
        """The task of reports on loss: as with shards, it never raises for the queue."""
        if not self._leaving.is_set():
            group = Group(scan_id, source_id, n_windows, seed)
            self._losses.run(group, self._leaving, make_room=self._forget_session)

    def _follow_up(self, scan_id: int) -> None:
        try:
            if self._after_scan is not None:
                self._after_scan(scan_id)
        except Exception:
            logger.exception("after scan %s, which is complete", scan_id)

    def _carry_out(self, held: Claim) -> bool:
        """Whether the scan is complete by this."""
        logger.info("job %s, shard %s (%s): begun", held.scan_id, held.index, held.kind)
        try:
            self._session_of(held.scan_id).carry_out(held, self._activity)
            logger.info("job %s, shard %s (%s): done", held.scan_id, held.index, held.kind)
            if held.kind == "finish":
                self._forget_session()
                return True
        except Unfit as error:
            self._refuse(held, str(error))
        except HandedBack as error:
            if isinstance(error, Unfinished):
                self._forget_session()
            claims.hand_back(self._engine, held)
        except ClaimLost:
            self._forget_session()
        except (*RETRYABLE, torch.OutOfMemoryError) as error:
            self._give_back(held, error)
        except AppError as error:
            self._forget_session()
            ledger.fail(self._engine, held.scan_id, error.message, is_final=True)
        except Exception as error:
            logger.exception("shard %s of scan %s", held.index, held.scan_id)
            self._give_back(held, error)
        return False

    def _refuse(self, held: Claim, reason: str) -> None:
        """Leaves a scan that cannot be done here to others, also to those that come later.

        A worker that serves this scan alone says so to the process that waits for it.
        """
        logger.warning("job %s cannot be done here: %s", held.scan_id, reason)
        self._forget_session()
        self._unfit[held.scan_id] = time.monotonic() + _SECONDS_UNFIT
        claims.hand_back(self._engine, held, error=reason, is_counted=False)
        if self._queues is not None:
            self._failure = InvalidInput(reason)

    def _is_left_to_others(self, scan_id: int) -> bool:
        """Whether this worker found itself unfit for the scan lately.

        Then it waits with the task that it took, so that the others' tasks stay for others; the
        sweep gives the task again.
        """
        if self._unfit.get(scan_id, 0.0) < time.monotonic():
            return False
        if not self._options.is_once:
            self._leaving.wait(_SECONDS_LEFT_TO_OTHERS)
        return True

    def _give_back(self, held: Claim, error: BaseException) -> None:
        """After a failure that another attempt may not have; each waits longer."""
        self._forget_session()
        said = error.message if isinstance(error, AppError) else f"{type(error).__name__}: {error}"
        seconds = min(2.0**held.n_attempts, _MOST_SECONDS_BACK)
        claims.hand_back(self._engine, held, error=said[:2000], seconds=seconds)

    def _session_of(self, scan_id: int) -> ScanSession:
        """The scan's session; that of another scan gives its memory back first."""
        if self._session is not None and self._session.scan_id != scan_id:
            self._forget_session()
        if self._session is None:
            self._session = ScanSession(self._engine, scan_id, self._options)
        return self._session

    def _forget_session(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None


def _nothing_for_us(scan_ids: Collection[int], n_reports: int) -> str:
    named = [f"job {scan_id}" for scan_id in sorted(scan_ids)]
    if n_reports:
        named.append(f"{n_reports} report{'s' if n_reports > 1 else ''} on recovered loss")
    return (
        f"What is left cannot be done by this worker: {', '.join(named)}. `unitscope jobs show`, "
        "or the page of the report, says why; start a worker where it can be done, or drop it with "
        "`unitscope jobs cancel`."
    )
