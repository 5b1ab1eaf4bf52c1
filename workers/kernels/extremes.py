"""Lists of windows of every unit, exact over all that was added: the k strongest, or k drawn.

A window enters a unit's list with its strongest counted position, so there is one example a
window. Lists are ordered by (-activation, window) for the top and (activation, window) for the
bottom; within a window the first position of the extreme wins. The order is total, so any
batching and any order of windows give the same lists, and `merge` of two disjoint parts is the
list of their union.

A list with a `seed` is a uniform sample of the windows where the unit is active (activation > 0):
the k of them that come first by a hash of window and seed (a bottom-k sketch: Cohen and Kaplan
2007). Everything else about it is as in a list of the top.

Not examples: windows flagged as duplicates (an earlier one has the same tokens); for the top,
windows whose greatest activation is exactly 0 (a latent that does nothing there); for the bottom,
windows where nothing is negative.

This module is the plain PyTorch twin (any device) of the compiled CPU kernel in `fused`. Cost of
`update`: a read for each window's extreme, then work only for windows that beat some unit's
k-th, of which there are about k · ln(windows / k) a unit over a whole scan.
"""

from dataclasses import dataclass, fields
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Int16, Int32, UInt8
from torch import Tensor

from workers.kernels.levels import encode_rows
from workers.kernels.sampling import draw_order

NO_WINDOW = 2**31 - 1
_MOST_FILLED = 1 << 23  # activations of entering windows that are written at once
Sign = Literal[1, -1]


@dataclass(slots=True)
class Extremes:
    """k slots a unit, in any order; an empty slot has window `NO_WINDOW`.

    seed           None for the strongest windows, otherwise that of the sample of active ones
    values         activation at `positions` (float32, exact); -inf · sign in an empty slot
    positions      first counted position of the window's extreme
    max_positions  first counted position of the window's maximum
    lows, highs    least and greatest counted activation of the window: the scale of `levels`
    levels         one a position; positions that are not counted hold the level of zero
    """

    sign: Sign
    seed: int | None
    values: Float[Tensor, "units k"]
    windows: Int32[Tensor, "units k"]
    positions: Int16[Tensor, "units k"]
    max_positions: Int16[Tensor, "units k"]
    lows: Float[Tensor, "units k"]
    highs: Float[Tensor, "units k"]
    levels: UInt8[Tensor, "units k pos"]


def empty(
    n_units: int,
    k: int,
    context: int,
    sign: Sign,
    device: torch.device | str = "cpu",
    *,
    seed: int | None = None,
) -> Extremes:
    """Lists of nothing, for windows of at most `context` tokens; samples, if there is a `seed`."""
    assert seed is None or sign == 1, "a sample is of windows where the unit is active"
    shape = (n_units, k)
    return Extremes(
        sign=sign,
        seed=seed,
        values=torch.full(shape, -torch.inf * sign, device=device),
        windows=torch.full(shape, NO_WINDOW, dtype=torch.int32, device=device),
        positions=torch.zeros(shape, dtype=torch.int16, device=device),
        max_positions=torch.zeros(shape, dtype=torch.int16, device=device),
        lows=torch.zeros(shape, device=device),
        highs=torch.zeros(shape, device=device),
        levels=torch.zeros((*shape, context), dtype=torch.uint8, device=device),
    )


def slot_bytes(context: int) -> int:
    """What one slot of one unit takes."""
    return 4 + 4 + 2 + 2 + 4 + 4 + context


def update(
    state: Extremes,
    x: Float[Tensor, "batch pos units"],
    windows: Int32[Tensor, " batch"],
    is_counted: Bool[Tensor, "batch pos"],
    is_duplicate: Bool[Tensor, " batch"],
) -> None:
    """Adds a batch of windows, none of which was added before; activations must be finite."""
    signed = (state.sign * x.float()).masked_fill(~is_counted[:, :, None], -torch.inf)
    enter(state, x, state.sign * signed.amax(dim=1), windows, is_counted, is_duplicate)


def enter(
    state: Extremes,
    x: Float[Tensor, "batch pos units"],
    extreme: Float[Tensor, "batch units"],
    windows: Int32[Tensor, " batch"],
    is_counted: Bool[Tensor, "batch pos"],
    is_duplicate: Bool[Tensor, " batch"],
) -> None:
    """`update` where each window's greatest activation (least, for the bottom) is known.

    Of `x` only what enters is read.
    """
    strongest = state.sign * extreme
    can_enter = _is_example(strongest, state) & ~is_duplicate[:, None]
    ranks = _ranks(state, strongest, windows[:, None].expand(strongest.shape))
    ranks = ranks.masked_fill(~can_enter, _last_rank(ranks))
    enters = can_enter & _beats_worst(state, ranks, windows)
    units = enters.any(dim=0).nonzero()[:, 0]
    if len(units) == 0:
        return
    order = _best_of(state, ranks[:, units].T, windows, units)
    k = state.values.shape[1]
    is_kept = torch.zeros((len(units), k + len(windows)), dtype=torch.bool, device=x.device)
    is_kept.scatter_(1, order, True)
    # As many slots of a unit are free as windows enter, and both come unit by unit.
    places, rows = (~is_kept[:, :k]).nonzero(), is_kept[:, k:].nonzero()[:, 1]
    each = _MOST_FILLED // x.shape[1] + 1
    for first in range(0, len(rows), each):
        some = slice(first, first + each)
        given = (x, windows, is_counted, units[places[some, 0]], places[some, 1], rows[some])
        _fill(state, *given)


def view(state: Extremes, units: slice) -> Extremes:
    """The lists of some units, in the same memory."""
    fields = {name: getattr(state, name)[units] for name in _slot_fields(state)}
    return Extremes(state.sign, state.seed, **fields)


def merge(a: Extremes, b: Extremes) -> Extremes:
    """The lists of the union of two disjoint sets of windows, best first."""
    both = Extremes(
        a.sign,
        a.seed,
        **{name: torch.cat((getattr(a, name), getattr(b, name)), 1) for name in _slot_fields(a)},
    )
    return _take(both, _order(_slot_ranks(both), both.windows)[:, : a.values.shape[1]])


def ordered(state: Extremes) -> Extremes:
    """The same lists, best first; empty slots last."""
    return _take(state, _order(_slot_ranks(state), state.windows))


def _is_example(strongest: Float[Tensor, "batch units"], state: Extremes) -> Bool[Tensor, "..."]:
    if state.sign == -1 or state.seed is not None:
        return strongest > 0
    return (strongest != 0) & (strongest > -torch.inf)  # -inf: a window without counted positions


def _ranks(
    state: Extremes, signed: Float[Tensor, "*shape"], windows: Int32[Tensor, "*shape"]
) -> Float[Tensor, "*shape"] | Int[Tensor, "*shape"]:
    """What windows are ordered by, ascending; then by window."""
    return -signed if state.seed is None else draw_order(windows, state.seed)


def _last_rank(ranks: Tensor) -> float | int:
    """The rank of what is no example; an empty slot's."""
    return torch.inf if ranks.is_floating_point() else torch.iinfo(ranks.dtype).max


def _slot_ranks(state: Extremes) -> Float[Tensor, "units k"] | Int[Tensor, "units k"]:
    ranks = _ranks(state, state.sign * state.values, state.windows)
    return ranks.masked_fill(state.windows == NO_WINDOW, _last_rank(ranks))


def _beats_worst(
    state: Extremes,
    ranks: Float[Tensor, "batch units"] | Int[Tensor, "batch units"],
    windows: Int32[Tensor, " batch"],
) -> Bool[Tensor, "batch units"]:
    held = _slot_ranks(state)
    worst = held.amax(dim=1)
    latest = torch.where(held == worst[:, None], state.windows, -1).amax(dim=1)
    return (ranks < worst) | ((ranks == worst) & (windows[:, None] < latest))


def _best_of(
    state: Extremes,
    candidates: Float[Tensor, "touched batch"] | Int[Tensor, "touched batch"],
    windows: Int32[Tensor, " batch"],
    units: Int[Tensor, " touched"],
) -> Int[Tensor, "touched k"]:
    """For each touched unit its k best: an old slot i as i, candidate j as k + j.

    Candidates that do not enter rank with the empty slots, and after them, since sorting is
    stable: they are never among the k.
    """
    k = state.values.shape[1]
    ranks = torch.cat((_slot_ranks(state)[units], candidates), dim=1)
    of = torch.cat((state.windows[units], windows.expand(len(units), -1)), dim=1)
    return _order(ranks, torch.where(ranks == _last_rank(ranks), NO_WINDOW, of))[:, :k]


def _order(
    ranks: Float[Tensor, "rows slots"] | Int[Tensor, "rows slots"],
    windows: Int32[Tensor, "rows slots"],
) -> Int[Tensor, "rows slots"]:
    """Slots of each row by (rank, window)."""
    by_window = windows.argsort(dim=1, stable=True)
    by_rank = ranks.gather(1, by_window).argsort(dim=1, stable=True)
    return by_window.gather(1, by_rank)


def _fill(
    state: Extremes,
    x: Float[Tensor, "batch pos units"],
    windows: Int32[Tensor, " batch"],
    is_counted: Bool[Tensor, "batch pos"],
    units: Int[Tensor, " new"],
    slots: Int[Tensor, " new"],
    rows: Int[Tensor, " new"],
) -> None:
    """Writes window `rows[i]` of the batch into slot `slots[i]` of unit `units[i]`."""
    values, counted = x[rows, :, units].float(), is_counted[rows]
    low, high = values.masked_fill(~counted, torch.inf), values.masked_fill(~counted, -torch.inf)
    lows, highs = low.amin(dim=1), high.amax(dim=1)
    at_high, at_low = high.argmax(dim=1).short(), low.argmin(dim=1).short()
    where = (units, slots)
    state.values[where] = highs if state.sign == 1 else lows
    state.windows[where] = windows[rows]
    state.positions[where] = at_high if state.sign == 1 else at_low
    state.max_positions[where] = at_high
    state.lows[where], state.highs[where] = lows, highs
    n_pos = values.shape[1]
    state.levels[units, slots, :n_pos] = encode_rows(values, counted, lows, highs)


def _take(state: Extremes, order: Int[Tensor, "units slots"]) -> Extremes:
    taken = {}
    for name in _slot_fields(state):
        table = getattr(state, name)
        index = order if table.dim() == 2 else order[:, :, None].expand(-1, -1, table.shape[2])
        taken[name] = table.gather(1, index)
    return Extremes(state.sign, state.seed, **taken)


def _slot_fields(state: Extremes) -> list[str]:
    return [field.name for field in fields(state) if field.name not in ("sign", "seed")]
