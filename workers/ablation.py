"""Loss recovered: how much of what a unit does for the model's predictions a rule accounts for.

The next-token loss is measured with the unit intact, with it held at its mean, and with it at the
rule's two conditional means (its mean where the rule holds, and where it does not). All three means
are exact over the counted positions of the windows given, from the intact pass, which all units and
rules share; then one forward a unit and one a (unit, rule). Only counted positions are replaced.

A neuron's activation is replaced itself; a latent a moves what is at `hook_point_out` by
(a' - a) times its decoder row, so the dictionary's error stays.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from app.errors import InvalidInput
from workers.sources.language_models import LoadedModel
from workers.sources.saes import SaeSource
from workers.sources.stored_windows import WindowBatch
from workers.sources.unit_sources import UnitSource

N_DRAWS = 2000
_DRAWS_AT_ONCE = 200
NOISE = 1e-7
"""Nats a token: what rounding alone may make of the loss of a unit that does nothing."""


@dataclass(frozen=True, slots=True)
class Question:
    """A unit, and for every counted position of the windows whether the rule holds there.

    Positions are numbered by windows ascending, then within a window.
    """

    unit: int
    holds: Bool[np.ndarray, " positions"]


@dataclass(frozen=True, slots=True)
class LossRecovered:
    """Losses in nats a token. `ratio` and its bounds are None where not measurable."""

    n_tokens: int
    n_documents: int
    intact: float
    mean: float
    rule: float
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None

    @property
    def is_measurable(self) -> bool:
        """Whether holding the unit at its mean changes the loss beyond doubt."""
        return self.ratio is not None


@dataclass(frozen=True, slots=True)
class _Intact:
    """One batch as the intact pass left it; `at` is the position's number, -1 if not counted."""

    token_ids: Int64[Tensor, "batch pos"]
    is_target: Bool[Tensor, "batch pos"]
    at: Int64[Tensor, "batch pos"]
    activations: Float[Tensor, "batch pos wanted"]
    scale: Float[Tensor, "batch pos"]
    documents: Int64[np.ndarray, " batch"]


Change = Callable[[Float[Tensor, "batch pos d"]], Float[Tensor, "batch pos d"]]


def measure(
    model: LoadedModel,
    source: UnitSource,
    batches: Sequence[WindowBatch],
    document_of: dict[int, int],
    questions: Sequence[Question],
    seed: int,
    go_on: Callable[[], None] = lambda: None,
) -> list[LossRecovered]:
    """Loss recovered for each question, over windows whose documents `document_of` names.

    `go_on` is called before each forward and may raise. The interval is by bootstrap over documents
    with the means as they are. A loss counts each token that is no put-in one and follows another.
    """
    units = sorted({question.unit for question in questions})
    numbers = {name: i for i, name in enumerate(sorted(set(document_of.values())))}
    run = _Run(model, source, units, len(numbers), go_on)
    first = _first_positions(batches)
    kept: list[_Intact] = []
    for batch in batches:
        documents = np.array([numbers[document_of[int(w)]] for w in batch.windows], np.int64)
        kept.append(run.intact(batch, documents, first))
    values = _by_position(kept)
    means = {unit: float(values[:, i].mean()) for i, unit in enumerate(units)}
    held = {unit: run.replaced(kept, unit, np.full(len(values), means[unit])) for unit in units}
    ruled = [
        run.replaced(kept, q.unit, _predicted(values[:, units.index(q.unit)], q.holds))
        for q in questions
    ]
    at_mean = [held[question.unit] for question in questions]
    return bootstrap(run.n_tokens, run.losses, at_mean, ruled, seed)


def _predicted(
    values: Float64[np.ndarray, " positions"], holds: Bool[np.ndarray, " positions"]
) -> Float64[np.ndarray, " positions"]:
    """The mean where the rule holds, there, and elsewhere the mean elsewhere."""
    if len(holds) != len(values):
        raise InvalidInput(
            f"The rule was evaluated at {len(holds):,} positions, the windows have {len(values):,}."
        )
    out = np.zeros(len(values))
    for side in (holds, ~holds):
        if side.any():
            out[side] = values[side].mean()
    return out


def _first_positions(batches: Sequence[WindowBatch]) -> dict[int, int]:
    """For each window the number of its first counted position."""
    counts = {
        int(window): int(n)
        for batch in batches
        for window, n in zip(batch.windows, batch.is_counted.sum(1), strict=True)
    }
    first, total = {}, 0
    for window in sorted(counts):
        first[window], total = total, total + counts[window]
    return first


def _by_position(kept: Sequence[_Intact]) -> Float64[np.ndarray, "positions wanted"]:
    at = torch.cat([each.at.flatten() for each in kept]).cpu().numpy()
    found = torch.cat([each.activations.flatten(0, 1) for each in kept]).double().cpu().numpy()
    values: Float64[np.ndarray, "positions wanted"] = np.zeros(
        (at.max(initial=-1) + 1, found.shape[1])
    )
    values[at[at >= 0]] = found[at >= 0]
    if not len(values):
        raise InvalidInput("The windows hold no counted position, so no loss can be measured.")
    return values


class _Run:
    """The forwards of one measurement; `losses` are sums over the tokens of each document."""

    def __init__(
        self,
        model: LoadedModel,
        source: UnitSource,
        units: Sequence[int],
        n_documents: int,
        go_on: Callable[[], None],
    ) -> None:
        self.model, self.source, self.units, self.go_on = model, source, units, go_on
        self.losses = np.zeros(n_documents)
        self.n_tokens = np.zeros(n_documents, dtype=np.int64)
        self.rows = {unit: _row(source, unit, model.device) for unit in units}

    def intact(
        self,
        batch: WindowBatch,
        documents: Int64[np.ndarray, " batch"],
        first: dict[int, int],
    ) -> _Intact:
        """One forward: the units' activations, and the intact losses, which are added up."""
        device = self.model.device
        starts = torch.tensor([first[int(window)] for window in batch.windows])[:, None]
        at = torch.where(batch.is_counted, starts + batch.is_counted.cumsum(1) - 1, -1)
        seen: dict[str, Tensor] = {}

        def see(x: Tensor) -> Tensor:
            seen["read"] = self.source.read(x)[..., self.units].float().clone()
            seen["scale"] = _scale(self.source, x)
            return x

        ids = batch.token_ids.to(device)
        is_target = batch.is_counted[:, 1:].to(device)
        losses = self._forward(ids, is_target, self.source.hook_point, see)
        np.add.at(self.losses, documents, losses)
        np.add.at(self.n_tokens, documents, is_target.sum(1).cpu().numpy())
        return _Intact(ids, is_target, at.to(device), seen["read"], seen["scale"], documents)

    def replaced(
        self, kept: Sequence[_Intact], unit: int, values: Float64[np.ndarray, " positions"]
    ) -> Float64[np.ndarray, " documents"]:
        """Losses, summed by document, with the unit at `values`."""
        total = np.zeros_like(self.losses)
        wanted = torch.from_numpy(values).float().to(self.model.device)
        for batch in kept:
            change = self._change(batch, unit, wanted)
            where = self.source.hook_point
            if isinstance(self.source, SaeSource):
                where = self.source.hook_point_out
            losses = self._forward(batch.token_ids, batch.is_target, where, change)
            np.add.at(total, batch.documents, losses)
        return total

    def _change(self, batch: _Intact, unit: int, wanted: Float[Tensor, " positions"]) -> Change:
        is_counted, value = batch.at >= 0, wanted[batch.at.clamp(min=0)]
        row = self.rows[unit]

        def set_neuron(x: Tensor) -> Tensor:
            x = x.clone()
            x[..., unit] = torch.where(is_counted, value.to(x.dtype), x[..., unit])
            return x

        def move(x: Tensor) -> Tensor:
            assert row is not None
            step = value - batch.activations[..., self.units.index(unit)]
            step = torch.where(is_counted, step * batch.scale, 0.0)
            return (x.float() + step[..., None] * row).to(x.dtype)

        return set_neuron if row is None else move

    def _forward(
        self,
        token_ids: Int64[Tensor, "batch pos"],
        is_target: Bool[Tensor, "batch targets"],
        hook_point: str,
        change: Change,
    ) -> Float64[np.ndarray, " batch"]:
        """The summed loss of each window, with what is at `hook_point` changed."""
        self.go_on()
        with torch.no_grad(), _changed(self.model, hook_point, token_ids.shape, change):
            logits = self.model.hf_model(input_ids=token_ids, use_cache=False).logits
        flat = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), token_ids[:, 1:].flatten(), reduction="none"
        )
        losses = flat.reshape(is_target.shape).double().masked_fill(~is_target, 0.0)
        found: Float64[np.ndarray, " batch"] = losses.sum(1).cpu().numpy()
        return found


@contextmanager
def _changed(
    model: LoadedModel, hook_point: str, shape: Sequence[int], change: Change
) -> Iterator[None]:
    """While this lasts, `change` stands between what is at the hook point and what reads it."""
    place = model.hook(hook_point)

    def swap(found: Tensor) -> Tensor:
        shaped = found.reshape(*shape, -1)  # OPT's MLP sees positions in a row
        if place.convert is None:
            return change(shaped).reshape(found.shape)
        change(place.convert(shaped))  # a place computed from the model's, which can only be read
        return found

    def before(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (swap(args[0]), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": swap(kwargs["hidden_states"])}

    def after(_module: Any, _args: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (swap(output[0]), *output[1:])
        return swap(output)

    if place.side == "input":
        handle = place.module.register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = place.module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def _row(source: UnitSource, unit: int, device: torch.device) -> Float[Tensor, " d"] | None:
    """A latent's decoder row where it writes; None for a neuron."""
    if not 0 <= unit < source.n_units:
        raise InvalidInput(f"{source.slug} has no unit {unit}: it has {source.n_units:,}, from 0.")
    if not isinstance(source, SaeSource):
        return None
    if source.model.hook(source.hook_point_out).convert is not None:
        raise InvalidInput(f"What is at {source.hook_point_out} can be read, but not replaced.")
    row: Tensor = source.sae.W_dec[unit].detach().float().to(device)
    if getattr(source.sae.cfg, "rescale_acts_by_decoder_norm", False):
        row = row / row.norm().clamp(min=1e-8)
    return row


def _scale(source: UnitSource, x: Float[Tensor, "batch pos d"]) -> Float[Tensor, "batch pos"]:
    """What SAELens multiplies each position's output by, having divided its input so."""
    flat = torch.ones(x.shape[:2], device=x.device)
    if not isinstance(source, SaeSource):
        return flat
    ones = torch.ones_like(x[..., :1], dtype=torch.float32)
    # It goes by what the read of x just before left, which it may drop: hence one call.
    both = source.sae.run_time_activation_norm_fn_out(torch.stack([ones, torch.zeros_like(ones)]))
    scale: Tensor = flat * (both[0] - both[1])[..., 0]
    return scale


def bootstrap(
    n_tokens: Int[np.ndarray, " documents"],
    intact: Float64[np.ndarray, " documents"],
    means: Sequence[Float64[np.ndarray, " documents"]],
    rules: Sequence[Float64[np.ndarray, " documents"]],
    seed: int,
) -> list[LossRecovered]:
    """Ratios and their 95% intervals, by drawing documents; all arguments are sums by document."""
    totals = int(n_tokens.sum())
    if not totals:
        raise InvalidInput("The windows hold no token that follows another: nothing is predicted.")
    lost = np.stack([mean - intact for mean in means], axis=1)
    regained = np.stack([m - r for m, r in zip(means, rules, strict=True)], axis=1)
    drawn_lost, drawn_regained = _draw(np.hstack([lost, regained]), seed, lost.shape[1])
    found = []
    for i in range(len(means)):
        losses = [float(each.sum() / totals) for each in (intact, means[i], rules[i])]
        low, high = np.percentile(drawn_lost[:, i], [2.5, 97.5])
        is_clear = (low > 0 or high < 0) and abs(lost[:, i].sum()) > NOISE * totals
        ratio: list[float | None] = [None, None, None]
        if is_clear and len(n_tokens) > 1:
            kept = drawn_lost[:, i] != 0
            drawn = drawn_regained[kept, i] / drawn_lost[kept, i]
            bounds = np.percentile(drawn, [2.5, 97.5])
            ratio = [float(regained[:, i].sum() / lost[:, i].sum()), *map(float, bounds)]
        n_documents = int((n_tokens > 0).sum())
        found.append(LossRecovered(totals, n_documents, *losses, *ratio))
    return found


def _draw(
    sums: Float64[np.ndarray, "documents columns"], seed: int, n_first: int
) -> tuple[Float64[np.ndarray, "draws some"], Float64[np.ndarray, "draws some"]]:
    rng, n = np.random.default_rng(seed), len(sums)
    drawn = np.concatenate(
        [
            rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS_AT_ONCE) @ sums
            for _ in range(N_DRAWS // _DRAWS_AT_ONCE)
        ]
    )
    return drawn[:, :n_first], drawn[:, n_first:]
