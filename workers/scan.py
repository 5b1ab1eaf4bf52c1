"""The scan: one pass of the model over a corpus, feeding every source's running results.

For each batch the plain model runs up to the last hooked module; then each source's activations
are read once, by kernels that keep moments and extremes, and the windows of the atlas's sample
go to the scratch file. Nothing here depends on the order of batches.

Cost: the model's forward, plus some 5% of it for neurons on a CPU (bench/scan.py).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from app.errors import InvalidInput
from workers.atlas import AtlasBuilder
from workers.kernels import extremes, fused, moments
from workers.kernels.extremes import Extremes
from workers.kernels.moments import Moments
from workers.sources.language_models import LoadedModel
from workers.sources.stored_windows import WindowBatch
from workers.sources.unit_sources import UnitSource
from workers.spool import SourceSpool, open_spools

# Tokens that go through the model at once, and bytes of one source's activations read at once.
BATCH_TOKENS = {"cpu": 4096, "cuda": 16384}
READ_BYTES = {"cpu": 64 << 20, "cuda": 1 << 30}


@dataclass(slots=True)
class SourceScan:
    """What a scan knows of one source so far."""

    source: UnitSource
    moments: Moments
    top: Extremes
    bottom: Extremes
    spool: SourceSpool


@dataclass(slots=True)
class Scanner:
    """A scan in progress; use `open_scanner`."""

    model: LoadedModel
    sources: list[SourceScan]
    atlas: AtlasBuilder
    threads: ThreadPoolExecutor
    n_threads: int
    buffer: Float32[np.ndarray, " size"]

    def run(
        self, batches: Iterable[WindowBatch], report: Callable[[int], None] | None = None
    ) -> None:
        """Adds all batches; `report` is told how many positions each counted."""
        for batch in batches:
            self.add(batch)
            if report is not None:
                report(int(batch.is_counted.sum()))

    def add(self, batch: WindowBatch) -> None:
        """Adds one batch; InvalidInput for a NaN or infinity names source and window."""
        hook_points = list(dict.fromkeys(part.source.hook_point for part in self.sources))
        token_ids = batch.token_ids.to(self.model.device)
        found = self.model.run_to(token_ids, None, hook_points)
        sampled = self.atlas.rows(batch)
        for part in self.sources:
            self._add_to(part, found[part.source.hook_point], batch, sampled)

    def _add_to(
        self, part: SourceScan, x: Float[Tensor, "batch pos d"], batch: WindowBatch, sampled: Tensor
    ) -> None:
        """Reads the source in slices of windows that bound the memory of wide ones."""
        n_windows, n_pos = batch.token_ids.shape
        room = READ_BYTES[x.device.type] // (4 * n_pos * part.source.n_units)
        each = max(room, 1)
        for first in range(0, n_windows, each):
            rows = slice(first, first + each)
            units = part.source.read(x[rows])
            bad = self._update(part, units, batch, rows)
            if bad >= 0:
                raise _not_finite(part.source.slug, int(batch.windows[rows][bad]), self.model)
            here = sampled[(sampled >= first) & (sampled < first + each)] - first
            if len(here):
                part.spool.append(self._by_unit(units, batch.is_counted[rows], here))

    def _by_unit(
        self,
        units: Float[Tensor, "windows pos units"],
        is_counted: Bool[Tensor, "windows pos"],
        taken: Int64[Tensor, " taken"],
    ) -> Float32[np.ndarray, "units n"]:
        """Counted activations of the windows `taken`, in memory that the next call uses again."""
        shape = (units.shape[2], int(is_counted[taken].sum()))
        if units.device.type != "cpu":
            on_device = taken.to(units.device)
            counted = units[on_device][is_counted[taken].to(units.device)]
            by_unit: np.ndarray = counted.float().T.contiguous().cpu().numpy()
            return by_unit
        size = shape[0] * shape[1]
        if self.buffer.size < size:
            self.buffer = np.empty(size, dtype=np.float32)
        by_unit = self.buffer[:size].reshape(shape)
        threads = (self.threads, self.n_threads)
        fused.gather_by_unit(units.float(), is_counted, taken, by_unit, *threads)
        return by_unit

    def _update(
        self,
        part: SourceScan,
        units: Float[Tensor, "windows pos units"],
        batch: WindowBatch,
        rows: slice,
    ) -> int:
        given = (batch.windows[rows], batch.is_counted[rows], batch.is_duplicate[rows])
        if units.device.type == "cpu":
            state = (part.moments, part.top, part.bottom)
            return fused.update(*state, units.float(), *given, self.threads, self.n_threads)
        windows, is_counted, is_duplicate = (tensor.to(units.device) for tensor in given)
        bad = moments.first_bad_window(units, is_counted)
        if bad < 0:
            moments.update(part.moments, units, is_counted)
            for state_of in (part.top, part.bottom):
                extremes.update(state_of, units, windows, is_counted, is_duplicate)
        return bad


@contextmanager
def open_scanner(
    model: LoadedModel,
    sources: Sequence[UnitSource],
    *,
    top_k: int,
    context: int,
    atlas: AtlasBuilder,
    scratch: Path,
) -> Iterator[Scanner]:
    """A scanner of `sources` with nothing added; its scratch file in `scratch` goes at the end."""
    file, spools = open_spools(scratch, [(source.kind, source.n_units) for source in sources])
    n_threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(n_threads, thread_name_prefix="scan") as threads:
            parts = [
                _start(source, spool, top_k, context, model.device)
                for source, spool in zip(sources, spools, strict=True)
            ]
            yield Scanner(model, parts, atlas, threads, n_threads, np.empty(0, dtype=np.float32))
    finally:
        file.close()


def _start(
    source: UnitSource, spool: SourceSpool, top_k: int, context: int, device: torch.device
) -> SourceScan:
    return SourceScan(
        source=source,
        moments=moments.empty(source.n_units, device),
        top=extremes.empty(source.n_units, top_k, context, 1, device),
        bottom=extremes.empty(source.n_units, top_k, context, -1, device),
        spool=spool,
    )


def _not_finite(slug: str, window: int, model: LoadedModel) -> InvalidInput:
    advice = "The weights or the model's own arithmetic give it."
    if model.dtype != torch.float32:
        advice = f"The model runs in {model.details['dtype']}: try --dtype float32."
    return InvalidInput(
        f"Source {slug}: an activation in window {window} is NaN or infinite, so nothing of this "
        f"scan can be trusted and none of it was kept. {advice}"
    )
