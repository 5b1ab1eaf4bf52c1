"""One scan in one worker: its model and sources, loaded once and kept for all its shards.

Lists of extremes go on from shard to shard (see workers.partials); moments, and what is fresh,
begin anew with each flush. Whatever goes wrong between flushes, the session is thrown away, and the
next attempt begins with empty lists: a window is never added twice to the same ones.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import psycopg
import torch
from jaxtyping import Int32
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session

from app import db
from app.config import get_settings
from app.errors import AppError
from app.models import Corpus, Scan
from workers.atlas import AtlasBuilder
from workers.finish import finish_atlas
from workers.jobs import claims
from workers.jobs.claims import Claim
from workers.jobs.console import in_a_line
from workers.jobs.finishing import finish_scan
from workers.jobs.follow import SECONDS_OF_PATIENCE
from workers.jobs.loading import Loaded, load
from workers.jobs.options import WorkerOptions
from workers.jobs.pulse import Activity
from workers.jobs.settings import FORMAT, ScanRequest, ScanSettings
from workers.kernels.stored_atlas import Rows
from workers.partials import blocks_of, encode_block, units_in_block
from workers.scan import Scanner, open_scanner
from workers.sinks import models, partials
from workers.sinks.atlases import write_atlas
from workers.sinks.copying import StorageFull, storing
from workers.sinks.scans import AtlasWriter
from workers.sources.stored_windows import (
    WindowSizes,
    batches_of,
    read_documents_of,
    read_sizes,
    read_these,
    read_windows,
)

logger = logging.getLogger("unitscope.worker")

SECONDS_BETWEEN_FLUSHES = 120.0
"""What a killed worker may lose of a large shard."""
_SECONDS_BETWEEN_TRIES = 2.0
AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, StorageFull)
RETRYABLE = (DBAPIError, psycopg.Error, StorageFull, OSError, MemoryError)
"""What may go better another time, or on another machine."""


class HandedBack(Exception):
    """We were told to stop: what was scanned of the shard is flushed, the rest is for others."""


class Unfinished(HandedBack):
    """The same, but nothing of the shard could be flushed: the session is of no more use."""


class Unfit(Exception):
    """This worker cannot do this scan: files, versions, devices or memory. Another may."""


class ScanSession:
    """The scan `scan_id`, as this worker carries out its shards one after another."""

    def __init__(
        self, engine: Engine, scan_id: int, options: WorkerOptions, loaded: Loaded | None = None
    ) -> None:
        self.scan_id = scan_id
        self._engine, self._options = engine, options
        self._given = loaded
        self._open = ExitStack()
        with db.session(engine) as session:
            scan = session.get_one(Scan, scan_id)
            self._corpus = session.get_one(Corpus, scan.corpus_id)
        if scan.settings["format"] != FORMAT:
            raise Unfit(
                f"Job {scan_id} was asked for by another version of Unitscope "
                f"({scan.software_version}), whose results differ. Cancel it, or run that version."
            )
        self.corpus_id, self.model_id = scan.corpus_id, scan.language_model_id
        self.request = ScanRequest.model_validate(scan.request)
        names = ("top_k", "atlas_tokens", "seed", "dtype", "format")
        self.settings = ScanSettings(**{name: scan.settings[name] for name in names})
        self.sampled: Int32[np.ndarray, " sampled"] = np.frombuffer(
            scan.atlas_windows or b"", dtype="<i4"
        )
        self.source_ids = [source.id for source in self.request.sources]

    def close(self) -> None:
        """Gives the memory back."""
        self._open.close()

    @cached_property
    def loaded(self) -> Loaded:
        """The model and its sources."""
        if self._given is not None:
            return self._given
        options = self._options
        return load(
            self.request,
            self.settings,
            options.device,
            trust_remote_code=options.trust_remote_code,
        )

    @cached_property
    def sizes(self) -> WindowSizes:
        """Of all the corpus's windows."""
        return read_sizes(self._engine, self.corpus_id)

    @cached_property
    def scanner(self) -> Scanner:
        """Running results of all sources, empty at first."""
        opened = open_scanner(
            self.loaded.model,
            self.loaded.sources,
            top_k=self.settings.top_k,
            context=int(self.sizes.lengths.max()),
            scratch=get_settings().data_dir / "scratch",
            seed=self.settings.seed,
            n_threads=self._options.n_threads,
        )
        return self._open.enter_context(opened)

    def carry_out(self, held: Claim, activity: Activity) -> None:
        """Does the shard, or as much of it as we are let.

        Raises HandedBack where the rest is left to others, ClaimLost where it is another's, and
        whatever went wrong.
        """
        carry_out = {
            "units": self._store_units,
            "atlas": self._scan_atlas,
            "windows": self._scan_windows,
            "finish": self._finish,
        }
        if activity.should_stop.is_set():
            raise HandedBack
        if held.kind != "finish":
            self._make_ready()
        carry_out[held.kind](held, activity)

    def _make_ready(self) -> None:
        """Loads what is not loaded yet. Raises Unfit where that cannot be done here."""
        try:
            assert self.scanner
        except AppError as error:
            raise Unfit(error.message) from error

    def _store_units(self, held: Claim, activity: Activity) -> None:
        activity.say("reading weights")

        def write(session: Session) -> None:
            for source_id, source in zip(self.source_ids, self.loaded.sources, strict=True):
                go_on(activity)
                models.store_units(session, source_id, self.loaded.model, source)

        self._flush(held, activity, write)

    def _scan_windows(self, held: Claim, activity: Activity) -> None:
        """The shard's windows, flushed at its end, and before where that is far."""
        rows = read_windows(
            self._engine, self.corpus_id, held.first_window, held.last_window, self.sampled
        )[held.n_windows_done :]
        while rows:
            done = self._scan(rows, activity, SECONDS_BETWEEN_FLUSHES)
            if done:
                self._flush_windows(held, activity, done)
                held = replace(held, n_windows_done=held.n_windows_done + len(done))
            rows = rows[len(done) :]
            if rows and activity.should_stop.is_set():
                raise HandedBack

    def _flush_windows(self, held: Claim, activity: Activity, rows: Sequence[Any]) -> None:
        fresh = self._fresh(rows)
        self._flush(held, activity, lambda session: self._write(session, held, fresh), rows)

    def _scan_atlas(self, held: Claim, activity: Activity) -> None:
        """All sampled windows, or nothing: what the atlas gives needs them together."""
        rows = read_these(self._engine, self.corpus_id, self.sampled)
        documents = read_documents_of(self._engine, self.corpus_id, self.sampled)
        n_windows = int((self.sizes.n_counted > 0).sum())
        builder = AtlasBuilder(self.settings.seed, self.sampled, documents, n_windows)
        with self.scanner.collecting(builder):
            if len(self._scan(rows, activity)) < len(rows):
                raise Unfinished
            fresh = self._fresh(rows)

            def write(session: Session) -> None:
                self._write_atlas(session, builder, activity)
                self._write(session, held, fresh)

            self._flush(held, activity, write, rows)

    def _write_atlas(self, session: Session, builder: AtlasBuilder, activity: Activity) -> None:
        scanner, layout = self.scanner, builder.layout()
        writer = AtlasWriter(session, self.scan_id)
        writer.prepare()
        for source_id, part in zip(self.source_ids, scanner.sources, strict=True):
            entries = []
            for block in finish_atlas(part, layout, scanner.threads, scanner.n_threads):
                if activity.should_stop.is_set():
                    raise Unfinished
                writer.write(source_id, block.records)
                entries.append(block.entries)
            write_atlas(session, self.scan_id, source_id, Rows.of(layout.n_positions, entries))

    def _finish(self, held: Claim, activity: Activity) -> None:
        activity.say("merging")
        with (
            storing("the scan"),
            claims.holding(self._engine, held, alone=True) as session,
        ):
            finish_scan(
                session,
                self.scan_id,
                self._corpus,
                self.request,
                self.settings,
                self.sizes,
                self.sampled,
                lambda: go_on(activity),
            )

    def _scan(
        self, rows: Sequence[Any], activity: Activity, seconds: float = math.inf
    ) -> Sequence[Any]:
        """Adds the windows to the running results, in order; those that were added in `seconds`."""
        self.scanner.begin_part()
        activity.say("scanning")
        until = time.monotonic() + seconds
        n = self.scanner.run(
            batches_of(rows, self.scanner.batch_tokens),
            activity.add,
            lambda: activity.should_stop.is_set() or time.monotonic() > until,
        )
        activity.say("storing")
        return rows[:n]

    def _fresh(self, rows: Sequence[Any]) -> torch.Tensor:
        is_fresh = torch.zeros(len(self.sizes.lengths), dtype=torch.bool)
        is_fresh[torch.tensor([row[0] for row in rows])] = True
        return is_fresh.to(self.loaded.model.device)

    def _write(self, session: Session, held: Claim, is_fresh: torch.Tensor) -> None:
        """One flush's partials."""
        partials.write(
            session.connection(),
            self.scan_id,
            held.index,
            held.n_windows_done,
            self._payloads(is_fresh),
        )

    def _payloads(self, is_fresh: torch.Tensor) -> Iterator[tuple[int, int, bytes]]:
        for source_id, part in zip(self.source_ids, self.scanner.sources, strict=True):
            each = units_in_block(self.settings.top_k, self.scanner.context, len(part.lists))
            for first, last in blocks_of(part.source.n_units, each):
                payload = encode_block(part.moments, part.lists, is_fresh, first, last)
                yield source_id, first, payload

    def _flush(
        self,
        held: Claim,
        activity: Activity,
        write: Callable[[Session], None],
        rows: Sequence[Any] = (),
    ) -> None:
        """Writes what the windows `rows` gave, and waits for a database that cannot take it yet.

        What is in hand stays in memory meanwhile. A commit of which nothing was heard is looked up.
        """
        n_tokens = sum(len(row[1]) // 4 - len(row[2]) for row in rows)
        until = time.monotonic() + SECONDS_OF_PATIENCE
        while True:
            try:
                if not claims.is_flushed(self._engine, held, len(rows)):
                    with (
                        storing("a part of the scan"),
                        claims.flushing(self._engine, held, len(rows), n_tokens) as session,
                    ):
                        write(session)
                activity.flushed()
                claims.offer_finish(self._engine, self.scan_id)
                return
            except AWAY as error:
                if activity.should_stop.is_set() or time.monotonic() > until:
                    raise
                logger.warning("job %s: waiting for the database: %s", self.scan_id, error)
                activity.say(f"waiting: {in_a_line(error)}")
                activity.should_stop.wait(_SECONDS_BETWEEN_TRIES)
                activity.say("storing")


def go_on(activity: Activity) -> None:
    """Raises HandedBack once we were told to stop."""
    if activity.should_stop.is_set():
        raise HandedBack
