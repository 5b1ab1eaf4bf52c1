"""Claims on shards, alone and many at once: a shard has one owner, and nobody waits for ever."""

import random
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import Engine, text, update

from app import db
from app.errors import AppError
from app.jobs import service
from app.models import Corpus, Scan, Shard, Worker
from app.tasks import scan_queue
from tests.fire import wait_for
from workers.jobs import claims, ledger, queue
from workers.jobs.claims import MOST_ATTEMPTS, Claim, ClaimLost
from workers.jobs.pulse import Activity, Pulse
from workers.jobs.settings import ScanRequest, ScanSettings
from workers.sinks import models
from workers.sources.language_models import LoadedModel
from workers.sources.stored_windows import WindowSizes

SETTINGS = ScanSettings(top_k=1, atlas_tokens=1, seed=0, dtype="float32")
N_WINDOWS, TOKENS = 10, 8
ATLAS, UNITS, WINDOWS = 0, 1, 2
Begin = Callable[[], int]


@pytest.fixture
def begin(engine: Engine, model: LoadedModel, tokenizer_id: int) -> Begin:
    """Begins a scan of ten windows: the atlas has one, nine have a shard each, then the finish."""

    def begin() -> int:
        name = f"corpus-{uuid4()}"
        with db.session(engine) as session:
            corpus = Corpus(
                slug=name,
                name=name,
                hash=name,
                tokenizer_id=tokenizer_id,
                context=TOKENS,
                has_bos=False,
                is_packed=False,
                details={},
                n_documents=1,
                n_windows=N_WINDOWS,
                n_tokens=N_WINDOWS * TOKENS,
            )
            session.add(corpus)
            session.flush()
            request = ScanRequest(
                model=name,
                revision=None,
                needs_remote_code=False,
                weights_hash="",
                tokenizer_hash="",
                context=TOKENS,
                sources=[],
            )
            model_id = models.store_model(session, model, tokenizer_id, None).id
            sizes = WindowSizes(*np.full((2, N_WINDOWS), TOKENS, np.int32))
            given = (model_id, corpus, SETTINGS, request, sizes)
            return ledger.begin(session, *given, priority=0, least_shard_tokens=TOKENS).id

    return begin


@pytest.fixture
def worker(engine: Engine) -> Callable[[], UUID]:
    """A worker that is alive for the next seconds."""

    def make() -> UUID:
        worker_id = uuid4()
        with db.session(engine) as session:
            more = {"name": "here:1", "device": "cpu", "doing": "waiting", "n_tokens_done": 0}
            session.add(Worker(id=worker_id, **more))
        return worker_id

    return make


def die(engine: Engine, worker_id: UUID) -> None:
    """The worker was not seen for long."""
    with db.session(engine) as session:
        long_ago = {"seen_at": text("now() - interval '1 minute'")}
        session.execute(update(Worker).where(Worker.id == worker_id).values(**long_ago))


def must(claim: Claim | None) -> Claim:
    assert claim is not None
    return claim


def shard(engine: Engine, scan_id: int, index: int) -> Shard:
    with db.session(engine) as session:
        return session.get_one(Shard, (scan_id, index))


def waiting(engine: Engine, scan_id: int) -> list[str]:
    """Locks of the tasks that wait in the scan's queue."""
    query = text(
        "SELECT queueing_lock FROM procrastinate_jobs "
        "WHERE queue_name = :queue AND status = 'todo' ORDER BY id"
    )
    with engine.connect() as connection:
        return list(connection.scalars(query, {"queue": f"scan-{scan_id}"}))


def test_one_worker_has_a_shard(engine: Engine, begin: Begin, worker: Callable[[], UUID]) -> None:
    scan_id = begin()
    first, second = worker(), worker()
    held = must(claims.claim(engine, scan_id, WINDOWS, first))
    assert (held.n_windows_done, held.n_attempts) == (0, 1)
    assert claims.claim(engine, scan_id, WINDOWS, second) is None
    assert must(claims.claim(engine, scan_id, WINDOWS, first)).n_attempts == 2


def test_of_two_that_claim_at_once_one_gets_it(
    engine: Engine, begin: Begin, worker: Callable[[], UUID]
) -> None:
    scan_id = begin()
    for index in range(WINDOWS, WINDOWS + 8):
        ids = [worker() for _ in range(4)]
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(partial(claims.claim, engine, scan_id, index), ids))
        assert len([claim for claim in found if claim is not None]) == 1


def test_who_was_thought_dead_can_write_nothing(
    engine: Engine, begin: Begin, worker: Callable[[], UUID]
) -> None:
    scan_id = begin()
    zombie, heir = worker(), worker()
    held = must(claims.claim(engine, scan_id, WINDOWS, zombie))
    die(engine, zombie)
    taken = must(claims.claim(engine, scan_id, WINDOWS, heir))
    with pytest.raises(ClaimLost), claims.flushing(engine, held, 1, TOKENS):
        raise AssertionError("it may not write")
    claims.hand_back(engine, held)
    assert shard(engine, scan_id, WINDOWS).worker_id == heir
    with claims.flushing(engine, taken, 1, TOKENS):
        pass
    assert shard(engine, scan_id, WINDOWS).status == "done"
    with pytest.raises(ClaimLost), claims.flushing(engine, held, 1, TOKENS):
        raise AssertionError("it may not write")


def test_a_flush_counts_once(engine: Engine, begin: Begin, worker: Callable[[], UUID]) -> None:
    scan_id = begin()
    held = must(claims.claim(engine, scan_id, WINDOWS, worker()))
    assert not claims.is_flushed(engine, held, 1)
    with claims.flushing(engine, held, 1, TOKENS):
        pass
    assert claims.is_flushed(engine, held, 1)
    with pytest.raises(ClaimLost), claims.flushing(engine, held, 1, TOKENS):
        raise AssertionError("it was flushed")
    assert shard(engine, scan_id, WINDOWS).n_windows_done == 1


def test_a_flush_that_breaks_off_counts_not(
    engine: Engine, begin: Begin, worker: Callable[[], UUID]
) -> None:
    scan_id = begin()
    held = must(claims.claim(engine, scan_id, WINDOWS, worker()))
    with pytest.raises(RuntimeError), claims.flushing(engine, held, 1, TOKENS):
        raise RuntimeError
    assert not claims.is_flushed(engine, held, 1)
    assert shard(engine, scan_id, WINDOWS).n_windows_done == 0


def test_nobody_writes_for_a_cancelled_scan(
    engine: Engine, begin: Begin, worker: Callable[[], UUID]
) -> None:
    scan_id = begin()
    held = must(claims.claim(engine, scan_id, WINDOWS, worker()))
    with db.session(engine) as session:
        service.cancel(session, scan_id)
    with pytest.raises(ClaimLost), claims.flushing(engine, held, 1, TOKENS):
        raise AssertionError("it may not write")
    assert claims.claim(engine, scan_id, WINDOWS, worker()) is None
    claims.hand_back(engine, held)
    queue.sweep(engine)
    assert waiting(engine, scan_id) == []


def test_a_shard_that_always_kills_its_worker_fails_the_scan_in_words(
    engine: Engine, begin: Begin, worker: Callable[[], UUID]
) -> None:
    scan_id = begin()
    other = must(claims.claim(engine, scan_id, WINDOWS + 1, worker()))
    for _ in range(MOST_ATTEMPTS):
        victim = worker()
        must(claims.claim(engine, scan_id, WINDOWS, victim))
        die(engine, victim)
    assert claims.claim(engine, scan_id, WINDOWS, worker()) is None
    with db.session(engine) as session:
        scan = session.get_one(Scan, scan_id)
    assert scan.status == "failed"
    assert f"Shard {WINDOWS} (windows) was begun {MOST_ATTEMPTS} times" in (scan.error or "")
    assert f"unitscope jobs retry {scan_id}" in (scan.error or "")
    with claims.flushing(engine, other, 1, TOKENS):  # what others have in hand is not lost
        pass
    with db.session(engine) as session:
        service.retry(session, scan_id)
    queue.sweep(engine)
    again = must(claims.claim(engine, scan_id, WINDOWS, worker()))
    assert again.n_attempts == 1
    assert shard(engine, scan_id, WINDOWS + 1).status == "done"


def test_what_is_handed_back_waits_for_others(
    engine: Engine, begin: Begin, worker: Callable[[], UUID]
) -> None:
    scan_id = begin()
    first = worker()
    for error, n_attempts in ((None, 0), ("no luck", 1)):
        held = must(claims.claim(engine, scan_id, WINDOWS, first))
        claims.hand_back(engine, held, error=error)
        row = shard(engine, scan_id, WINDOWS)
        assert (row.status, row.worker_id, row.error) == ("waiting", None, error)
        assert row.n_attempts == n_attempts
    assert f"{scan_id}:{WINDOWS}" in waiting(engine, scan_id)


def test_the_sweep_gives_what_got_lost_once(
    engine: Engine, begin: Begin, worker: Callable[[], UUID]
) -> None:
    scan_id = begin()
    everything = waiting(engine, scan_id)
    assert len(everything) == N_WINDOWS + 1  # the atlas, the units, the rest; not yet the finish
    alive, dead = worker(), worker()
    must(claims.claim(engine, scan_id, WINDOWS, alive))
    must(claims.claim(engine, scan_id, WINDOWS + 1, dead))
    die(engine, dead)
    with db.session(engine) as session:
        session.execute(text("DELETE FROM procrastinate_jobs"))
    for _ in range(2):
        queue.sweep(engine)
        taken = f"{scan_id}:{WINDOWS}"
        assert sorted(waiting(engine, scan_id)) == sorted({*everything} - {taken})


def test_there_is_work_while_a_shard_is_left_in_whosever_hands(
    engine: Engine, begin: Begin, worker: Callable[[], UUID]
) -> None:
    scan_id = begin()
    ours, others = [scan_queue(scan_id)], [scan_queue(scan_id + 1)]
    must(claims.claim(engine, scan_id, WINDOWS, worker()))
    with db.session(engine) as session:
        session.execute(text("DELETE FROM procrastinate_jobs"))
    given = (None, ours, others)
    assert [bool(queue.scans_with_work(engine, queues)) for queues in given] == [True, True, False]
    with db.session(engine) as session:
        service.cancel(session, scan_id)
    assert not queue.scans_with_work(engine, None)


def test_the_finish_comes_last(engine: Engine, begin: Begin, worker: Callable[[], UUID]) -> None:
    scan_id = begin()
    worker_id, last = worker(), N_WINDOWS + 1
    for index in range(last):
        assert claims.claim(engine, scan_id, last, worker_id) is None
        held = must(claims.claim(engine, scan_id, index, worker_id))
        with claims.flushing(engine, held, held.n_windows, TOKENS):
            pass
        claims.offer_finish(engine, scan_id)
    assert waiting(engine, scan_id)[-1] == f"{scan_id}:{last}"
    assert must(claims.claim(engine, scan_id, last, worker_id)).kind == "finish"


def test_a_pulse_survives_a_database_that_is_away(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its first beat on."""
    monkeypatch.setattr("workers.jobs.pulse.SECONDS_BETWEEN_BEATS", 0.05)
    pulse = Pulse(engine, "cpu", Activity())

    def is_seen() -> bool:
        with db.session(engine) as session:
            return session.get(Worker, pulse.worker_id) is not None

    change(engine, "ALTER TABLE workers RENAME TO away")
    pulse.start()
    try:
        time.sleep(0.3)
        change(engine, "ALTER TABLE away RENAME TO workers")
        wait_for(is_seen)
        change(engine, "DELETE FROM workers")
        wait_for(is_seen)
    finally:
        pulse.stop()
    assert not is_seen()


def change(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


@dataclass
class Storm:
    """Everything that locks a scan's rows, in many threads at once."""

    engine: Engine
    begin: Begin
    worker: Callable[[], UUID]
    scans: list[int]
    over: Event = field(default_factory=Event)

    def work(self, draw: random.Random) -> None:
        """Claims shards, and flushes them or gives them back."""
        me = self.worker()
        while not self.over.is_set():
            scan_id, index = draw.choice(self.scans), draw.randrange(N_WINDOWS + 1)
            held = claims.claim(self.engine, scan_id, index, me)
            if held is None:
                continue
            if draw.random() < 0.3:
                claims.hand_back(self.engine, held, error=draw.choice([None, "no luck"]))
            else:
                self.flush(held, draw)

    def flush(self, held: Claim, draw: random.Random) -> None:
        n_windows = held.n_windows if draw.random() < 0.2 else 0
        with suppress(ClaimLost):
            with claims.flushing(self.engine, held, n_windows, n_windows * TOKENS):
                time.sleep(draw.random() * 0.003)
            claims.offer_finish(self.engine, held.scan_id)

    def manage(self, draw: random.Random) -> None:
        """What people and sweeps do."""
        kinds = {self.sweep: 40, self.fail: 25, self.take_up: 15, self.retry: 18, self.cancel: 2}
        while not self.over.is_set():
            kind = draw.choices(list(kinds), list(kinds.values()))[0]
            with suppress(AppError, ValueError):  # another was quicker
                kind(draw.choice(self.scans))

    def sweep(self, _: int) -> None:
        queue.sweep(self.engine)

    def fail(self, scan_id: int) -> None:
        ledger.fail(self.engine, scan_id, "out of luck", is_final=False)

    def take_up(self, scan_id: int) -> None:
        with db.session(self.engine) as session:
            scan = session.get_one(Scan, scan_id)
            named = (scan.language_model_id, scan.corpus_id, SETTINGS)
            for found in ledger.find_unfinished(session, *named):
                ledger.take_up(session, found)

    def retry(self, scan_id: int) -> None:
        with db.session(self.engine) as session:
            service.retry(session, scan_id)

    def cancel(self, scan_id: int) -> None:
        with db.session(self.engine) as session:
            service.cancel(session, scan_id)
        self.scans.append(self.begin())
        self.scans.remove(scan_id)


@pytest.mark.both_servers
def test_nobody_waits_for_anybody_who_waits(
    engine: Engine, begin: Begin, worker: Callable[[], UUID]
) -> None:
    """Claims, flushes, cancels, retries, failures and sweeps at once: no deadlock, no error."""
    storm = Storm(engine, begin, worker, [begin() for _ in range(4)])
    kinds = [storm.work] * 4 + [storm.manage] * 3
    with ThreadPoolExecutor(len(kinds)) as threads:
        running = [threads.submit(kind, random.Random(n)) for n, kind in enumerate(kinds)]
        wait(running, 4, FIRST_EXCEPTION)
        storm.over.set()
        for each in running:
            each.result(20)
