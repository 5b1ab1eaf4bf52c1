"""The scan: one pass of the model over a corpus, feeding every source's running results.

For each batch the plain model runs up to the last hooked module. As soon as a source's activations
are there they are read once, by kernels that keep moments and extremes, the windows of the atlas's
sample go to scratch memory, and the model goes on; so those of one layer are in memory at a time.
Nothing here depends on the order of batches.

On a CPU each thread carries a batch of its own through all of that, with one thread inside each
operation: no two wait for each other at every operation's end, only now and then for a source's
results, which one thread at a time may touch. Batches are small enough for the caches.

Cost: the model's forward, plus 5 to 15% of it for neurons on a CPU (bench/scan.py).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from app.errors import InvalidInput
from workers.arena import ScratchArena
from workers.atlas import AtlasBuilder, Taken
from workers.kernels import extremes, fused, moments, triton_stats, window_stats
from workers.kernels.extremes import Extremes
from workers.kernels.moments import Moments
from workers.kernels.window_stats import WindowStats
from workers.memory import keep_freed_memory, n_cores
from workers.memory_plan import N_ACTIVE, READ_BYTES, MemoryPlan, plan_memory
from workers.sources.language_models import LoadedModel
from workers.sources.replicas import replicate
from workers.sources.stored_windows import WindowBatch
from workers.sources.unit_sources import UnitSource
from workers.spool import SourceSpool, open_spools

__all__ = ["N_ACTIVE", "Scanner", "SourceScan", "active_seed", "open_scanner"]

# So few units of a source are not worth reading apart.
LEAST_UNITS = 512


@dataclass(slots=True)
class SourceScan:
    """What a scan knows of one source so far; `lock` is held while it changes."""

    source: UnitSource
    moments: Moments
    top: Extremes
    bottom: Extremes | None  # None where no unit is ever negative
    active: Extremes | None  # of sparse sources: a sample of the windows where a unit is active
    spool: SourceSpool | None = None  # only while the atlas is collected
    lock: Lock = field(default_factory=Lock)

    @property
    def lists(self) -> dict[str, Extremes]:
        """Its lists of windows, by the kind of example that they become."""
        lists = {"top": self.top, "bottom": self.bottom, "active": self.active}
        return {kind: state for kind, state in lists.items() if state is not None}


@dataclass(slots=True)
class Scanner:
    """A scan in progress; use `open_scanner`. One replica of the model for each thread.

    One scanner serves all shards of a scan that a worker does: lists of extremes go on through
    `run` after `run`; moments begin anew where the caller says (`begin_part`); the atlas is
    collected only inside `collecting`.
    """

    sources: list[SourceScan]
    context: int
    scratch: Path
    threads: ThreadPoolExecutor
    replicas: SimpleQueue[LoadedModel]
    n_threads: int
    memory: MemoryPlan
    atlas: AtlasBuilder | None = None

    @property
    def batch_tokens(self) -> int:
        """How many tokens a batch should have."""
        return self.memory.batch_tokens

    def begin_part(self) -> None:
        """Moments from nothing; lists of extremes as they are."""
        for part in self.sources:
            part.moments = moments.empty(part.source.n_units, part.moments.max.device)

    @contextmanager
    def collecting(self, atlas: AtlasBuilder) -> Iterator[None]:
        """Inside, windows that `atlas` samples go to the sources' spools, gone afterwards."""
        kinds = [(part.source.n_units, part.source.is_sparse) for part in self.sources]
        arena = ScratchArena(self.scratch, self.memory.scratch_bytes)
        spools = open_spools(arena, kinds, self.context * len(atlas.sampled))
        self.atlas = atlas
        for part, spool in zip(self.sources, spools, strict=True):
            part.spool = spool
        try:
            yield
        finally:
            self.atlas = None
            for part in self.sources:
                part.spool = None
            arena.close()

    def run(
        self,
        batches: Iterable[WindowBatch],
        report: Callable[[int], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> int:
        """Adds batches, all of them or until `should_stop`; how many windows were added.

        Those are the first of the batches given, every one of them whole. `report` is told how
        many positions each batch counted. InvalidInput for a NaN or infinity names source and
        window; the scanner is of no use after that.
        """
        waiting: deque[tuple[int, Future[int]]] = deque()
        n_windows = 0

        def take_one() -> int:
            n, future = waiting.popleft()
            n_counted = future.result()
            if report is not None:
                report(n_counted)
            return n

        try:
            for batch in batches:
                if should_stop is not None and should_stop():
                    break
                taken = self.atlas.take(batch) if self.atlas is not None else None
                future = self.threads.submit(self._add, batch, taken)
                waiting.append((len(batch.windows), future))
                if len(waiting) > self.n_threads:
                    n_windows += take_one()
            while waiting:
                n_windows += take_one()
        finally:
            for _, future in waiting:
                future.cancel()
        return n_windows

    def _add(self, batch: WindowBatch, taken: Taken | None) -> int:
        """Adds one batch, in a thread; the positions that it counted."""
        hook_points = list(dict.fromkeys(part.source.hook_point for part in self.sources))
        model = self.replicas.get()

        def take(hook_point: str, x: Tensor) -> None:
            for part in self.sources:
                if part.source.hook_point == hook_point:
                    self._add_to(part, x, batch, taken, model)

        try:
            model.run_through(to_device(batch.token_ids, model.device), None, hook_points, take)
        finally:
            self.replicas.put(model)
        return int(batch.is_counted.sum())

    def _add_to(
        self,
        part: SourceScan,
        x: Float[Tensor, "batch pos d"],
        batch: WindowBatch,
        taken: Taken | None,
        model: LoadedModel,
    ) -> None:
        """Reads the source in pieces that bound the memory of wide ones.

        Pieces are of units where these can be read apart, so that each part of the encoder is
        used for the whole batch; otherwise of windows.
        """
        n_windows, n_pos = batch.token_ids.shape
        room = READ_BYTES[x.device.type] // (4 * n_pos)
        each = n_windows
        if not part.source.is_elementwise:
            each = max(room // part.source.n_units, 1)
        most_units = max(room // each, LEAST_UNITS)
        for first in range(0, n_windows, each):
            some = _Some(batch, slice(first, first + each), taken)
            for first_unit, units in part.source.read_blocks(x[some.rows], most_units):
                bad = some.add(part, first_unit, units)
                if bad >= 0:
                    raise _not_finite(part.source.slug, bad, model)


@dataclass(frozen=True, slots=True)
class _Some:
    """Some windows of a batch, on their way into a source's results."""

    batch: WindowBatch
    rows: slice
    taken: Taken | None

    def add(self, part: SourceScan, first: int, units: Float[Tensor, "windows pos units"]) -> int:
        """Adds activations of the units from `first` on; a window with a NaN or infinity, or -1."""
        batch, rows = self.batch, self.rows
        is_counted, last = batch.is_counted[rows], first + units.shape[2]
        given = (batch.windows[rows], is_counted, batch.is_duplicate[rows])
        with part.lock:
            bad = _update(part, slice(first, last), units, given)
            if bad >= 0:
                return int(batch.windows[rows][bad])
            if last == part.source.n_units:
                part.moments.n_tokens += int(is_counted.sum())
        if self.taken is not None and part.spool is not None:
            here, position = self.taken.between(rows.start, rows.stop)
            if len(here):
                part.spool.add(position, units, is_counted, here, first)
        return -1


def _update(
    part: SourceScan,
    some: slice,
    units: Float[Tensor, "windows pos units"],
    given: tuple[Tensor, Tensor, Tensor],
) -> int:
    """Adds to moments and lists of the units `some`; the first bad row, or -1.

    `given`: windows, is_counted and is_duplicate of the rows, on the CPU.
    """
    sums = moments.view(part.moments, some)
    lists = {kind: extremes.view(state, some) for kind, state in part.lists.items()}
    if units.device.type == "cpu":
        state = (sums, lists["top"], lists.get("bottom"))
        return fused.update(*state, units.float(), *given, lists.get("active"))
    return update_on_device(sums, lists, units, *given)


def update_on_device(
    sums: Moments, lists: dict[str, Extremes], units: Tensor, *given: Tensor
) -> int:
    """The same on a GPU: one read of the activations, and one wait before they are added."""
    n_counted = int(given[1].sum())
    windows, is_counted, is_duplicate = (to_device(tensor, units.device) for tensor in given)
    stats = _read_stats(units, is_counted, n_counted)
    bad = stats.first_bad
    if bad >= 0:
        return bad
    moments.add(sums, stats)
    for state in lists.values():
        extreme = stats.highs if state.sign == 1 else stats.lows
        extremes.enter(state, units, extreme, windows, is_counted, is_duplicate)
    return -1


def _read_stats(
    units: Float[Tensor, "windows pos units"],
    is_counted: Bool[Tensor, "windows pos"],
    n_counted: int,
) -> WindowStats:
    if units.is_cuda and triton_stats.is_available():
        return triton_stats.read(units, is_counted, n_counted)
    return window_stats.read(units, is_counted, n_counted)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy there that the CPU does not wait for."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@contextmanager
def open_scanner(
    model: LoadedModel,
    sources: Sequence[UnitSource],
    *,
    top_k: int,
    context: int,
    scratch: Path,
    seed: int = 0,
    n_threads: int | None = None,
) -> Iterator[Scanner]:
    """A scanner of `sources` with nothing added, for windows of at most `context` tokens.

    Scratch files of atlases go to `scratch`. `seed` is the scan's: it draws the samples of active
    windows. `n_threads`: None for as many as torch uses. Raises TooLittleMemory.
    """
    keep_freed_memory()
    n_all = min(n_threads or torch.get_num_threads(), n_cores())
    memory = plan_memory(model, sources, top_k=top_k, context=context, n_threads=n_all)
    parts = [_start(source, top_k, context, seed, model.device) for source in sources]
    n_batches, n_inside = memory.n_batches, max(n_all // memory.n_batches, 1)
    replicas: SimpleQueue[LoadedModel] = SimpleQueue()
    for number in range(n_batches):
        replicas.put(replicate(model) if number else model)
    threads = ThreadPoolExecutor(n_batches, "scan", torch.set_num_threads, (n_inside,))
    n_before = torch.get_num_threads()
    try:
        yield Scanner(parts, context, scratch, threads, replicas, n_batches, memory)
    finally:
        threads.shutdown(cancel_futures=True)
        torch.set_num_threads(n_before)


def _start(
    source: UnitSource, top_k: int, context: int, seed: int, device: torch.device
) -> SourceScan:
    n_units = source.n_units
    bottom, active = None, None
    if source.is_signed:
        bottom = extremes.empty(n_units, top_k, context, -1, device)
    if source.is_sparse:
        active = extremes.empty(n_units, N_ACTIVE, context, 1, device, seed=active_seed(seed))
    return SourceScan(
        source=source,
        moments=moments.empty(n_units, device),
        top=extremes.empty(n_units, top_k, context, 1, device),
        bottom=bottom,
        active=active,
    )


def active_seed(seed: int) -> int:
    """The seed of the samples of active windows in a scan with `seed`."""
    return seed + 4


def _not_finite(slug: str, window: int, model: LoadedModel) -> InvalidInput:
    advice = "The weights or the model's own arithmetic give it."
    if model.dtype != torch.float32:
        advice = f"The model runs in {model.details['dtype']}: try --dtype float32."
    return InvalidInput(
        f"Source {slug}: an activation in window {window} is NaN or infinite, so nothing of this "
        f"scan can be trusted and none of it was kept. {advice}"
    )
