"""What a scan needs of memory, before it starts, and how much is in flight at once.

Results are there from the start to the end: moments and lists of every unit. Batches come and go:
what the forward holds, with one layer's activations, and what a source's reading makes of them. As
many batches are in flight as there are threads, fewer where memory is short; then batches are
made smaller; and where one window does not fit beside the results, that is said at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import torch

from app.errors import AppError
from workers.kernels import extremes, moments
from workers.memory import available_bytes, free_bytes
from workers.sources.language_models import LoadedModel
from workers.sources.unit_sources import UnitSource

# Tokens that go through the model at once, and bytes of one source's activations read at once. On
# a CPU a quarter of the tokens halves the time of an SAE's encoder.
BATCH_TOKENS = {"cpu": 1024, "cuda": 16384}
READ_BYTES = {"cpu": 8 << 20, "cuda": 1 << 30}
N_ACTIVE = 5
"""Windows in the sample of a unit's active ones."""
_USABLE = 0.9
# Tensors that a block of the model holds at once, in widths of its MLP and of its residual stream.
_MLP_TENSORS, _RESIDUAL_TENSORS = 3, 8
# What writing entering windows into the lists takes for a moment (extremes.enter, on a GPU).
_ENTERING = {"cpu": 0, "cuda": 512 << 20}


class TooLittleMemory(AppError):
    """A scan's results and one window do not fit."""

    status = HTTPStatus.INSUFFICIENT_STORAGE
    title = "Too little memory"


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """`n_batches` of `batch_tokens` in flight; bytes of results, of a batch, and for scratch."""

    n_batches: int
    batch_tokens: int
    state_bytes: int
    batch_bytes: int
    scratch_bytes: int


def plan_memory(
    model: LoadedModel, sources: Sequence[UnitSource], *, top_k: int, context: int, n_threads: int
) -> MemoryPlan:
    """The plan for a model that is loaded already; TooLittleMemory where there is none."""
    kind = model.device.type
    state = sum(state_bytes(source, top_k, context) for source in sources)
    usable = int(_USABLE * free_bytes(model.device))
    n_batches = n_threads if kind == "cpu" else 1
    tokens = max(BATCH_TOKENS[kind], context)
    batch = batch_bytes(model, sources, tokens, context)
    while state + n_batches * batch > usable:
        if n_batches > 1:
            n_batches -= 1
        elif tokens > context:
            tokens = max(tokens // 2, context)
        else:
            raise _too_little(model.device, sources, state, batch)
        batch = batch_bytes(model, sources, tokens, context)
    left = usable - state - n_batches * batch if kind == "cpu" else available_bytes()
    return MemoryPlan(n_batches, tokens, state, batch, max(left, 0) // 2)


def state_bytes(source: UnitSource, top_k: int, context: int) -> int:
    """What a scan keeps of a source: moments, and lists of examples with their levels."""
    n_slots = top_k * (2 if source.is_signed else 1) + (N_ACTIVE if source.is_sparse else 0)
    a_unit = moments.BYTES_A_UNIT + n_slots * extremes.slot_bytes(context)
    return source.n_units * a_unit


def batch_bytes(
    model: LoadedModel, sources: Sequence[UnitSource], n_tokens: int, context: int
) -> int:
    """What `n_tokens` in windows of `context` hold on their way through the model and `sources`."""
    d_mlp = model.d_mlp or 4 * model.d_model
    a_token = _MLP_TENSORS * d_mlp + _RESIDUAL_TENSORS * model.d_model
    n_bytes = n_tokens * a_token * model.dtype.itemsize
    if model.details["attention"] == "eager":
        n_bytes += 3 * n_tokens * context * int(model.details["n_heads"]) * model.dtype.itemsize
    read = max((_read_bytes(source, model, n_tokens, context) for source in sources), default=0)
    return n_bytes + read + _ENTERING[model.device.type]


def _read_bytes(source: UnitSource, model: LoadedModel, n_tokens: int, context: int) -> int:
    """What a source's reading makes; neurons are there already, but for a copy in float32."""
    n_bytes = 4 * n_tokens * source.n_units
    if source.kind == "neuron":
        return n_bytes if model.dtype != torch.float32 else 0
    room = READ_BYTES[model.device.type]
    if not source.is_elementwise:
        room = max(room, 4 * context * source.n_units)
    return 2 * min(n_bytes, room)


def _too_little(
    device: torch.device, sources: Sequence[UnitSource], state: int, batch: int
) -> TooLittleMemory:
    n_units = sum(source.n_units for source in sources)
    return TooLittleMemory(
        f"This scan needs {(state + batch) / 1e9:.2g} GB of memory on {device} beside the model "
        f"({state / 1e9:.2g} GB for the results of {n_units:,} units, {batch / 1e9:.2g} GB for a "
        f"window on its way), and {_USABLE * free_bytes(device) / 1e9:.2g} GB can be used. Scan "
        "fewer layers at a time (--neurons 0-5, then 6-11), pass a smaller --top-k or --context, "
        "or use another --device."
    )
