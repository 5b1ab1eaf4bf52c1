"""Loss recovered, on tiny models, against one forward a window with the unit set by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tiny_saes import make_sae, make_transcoder
from workers.ablation import LossRecovered, Question, bootstrap, measure
from workers.sources.language_models import LoadedModel
from workers.sources.stored_windows import WindowBatch, batches_of
from workers.sources.unit_sources import NeuronSource, SaeSource, neuron_source, sae_source

UNIT = 7


@pytest.fixture(scope="module")
def batches() -> list[WindowBatch]:
    """Windows of uneven length in batches, each with an uncounted first token."""
    draws = np.random.default_rng(3)
    rows = []
    for window in range(24):
        ids = draws.integers(0, 60, size=int(draws.integers(4, 14))).astype("<u4")
        rows.append((window, ids.tobytes(), [0], False))
    return list(batches_of(rows, 64))


@pytest.fixture(scope="module")
def documents() -> dict[int, int]:
    return {window: window // 2 for window in range(24)}


@pytest.fixture
def latents(model: LoadedModel, tmp_path: Path) -> SaeSource:
    return sae_source(str(make_sae(tmp_path / "sae", d_in=model.d_model)), model)


def n_positions(batches: list[WindowBatch]) -> int:
    return sum(int(batch.is_counted.sum()) for batch in batches)


def windows_of(batches: list[WindowBatch]) -> list[Tensor]:
    found = {
        int(window): ids[:length]
        for batch in batches
        for window, ids, length in zip(batch.windows, batch.token_ids, batch.lengths, strict=True)
    }
    return [found[window] for window in sorted(found)]


def naive_loss(
    model: LoadedModel, windows: list[Tensor], change: Callable[[int, Tensor], Tensor], module: str
) -> float:
    """Mean loss, window by window, with `change(window, what is at the module)`."""
    place, total, n = model.hook(module), 0.0, 0
    for i, ids in enumerate(windows):

        def before(_m: object, args: tuple[Tensor], i: int = i) -> tuple[Tensor]:
            return (change(i, args[0].clone()),)

        def after(_m: object, _a: object, out: object, i: int = i) -> object:
            if isinstance(out, tuple):
                return (change(i, out[0].clone()), *out[1:])
            return change(i, out.clone())  # type: ignore[attr-defined]

        attach = place.module.register_forward_hook
        if place.side == "input":
            attach = place.module.register_forward_pre_hook  # type: ignore[assignment]
        handle = attach(before if place.side == "input" else after)
        with torch.no_grad():
            logits = model.hf_model(input_ids=ids[None]).logits[0].log_softmax(-1)
        handle.remove()
        for at in range(len(ids) - 1):
            total, n = total - float(logits[at, ids[at + 1]]), n + 1
    return total / n


def naive(
    model: LoadedModel,
    source: NeuronSource | SaeSource,
    batches: list[WindowBatch],
    holds: np.ndarray,
) -> tuple[float, float, float]:
    windows = windows_of(batches)
    read = [
        source.read(model.run_to(ids[None], None, [source.hook_point])[source.hook_point])[0, 1:]
        for ids in windows
    ]
    values = np.concatenate([each[:, UNIT].double().numpy() for each in read])
    lengths = np.cumsum([0, *(len(each) for each in read)])
    predicted = np.where(holds, values[holds].mean(), values[~holds].mean())
    row = None if isinstance(source, NeuronSource) else source.output_directions()[UNIT]

    def held_at(wanted: np.ndarray) -> float:
        def change(i: int, x: Tensor) -> Tensor:
            span = slice(lengths[i], lengths[i + 1])
            if row is None:
                x[0, 1:, UNIT] = torch.from_numpy(wanted[span]).float()
            else:
                x[0, 1:] += torch.from_numpy(wanted[span] - values[span]).float()[:, None] * row
            return x

        return naive_loss(model, windows, change, source.hook_point_out if row is not None
                          else source.hook_point)  # fmt: skip

    mean = np.full(len(values), values.mean())
    return held_at(values), held_at(mean), held_at(predicted)


@pytest.mark.parametrize("kind", ["neuron", "latent"])
def test_losses_are_those_of_one_window_after_another(
    model: LoadedModel,
    latents: SaeSource,
    batches: list[WindowBatch],
    documents: dict[int, int],
    kind: str,
) -> None:
    source = neuron_source(model, 1) if kind == "neuron" else latents
    holds = np.arange(n_positions(batches)) % 3 == 0
    found = measure(model, source, batches, documents, [Question(UNIT, holds)], 0)[0]
    wanted = naive(model, source, batches, holds)
    assert (found.intact, found.mean, found.rule) == pytest.approx(wanted, abs=2e-6)
    assert found.n_tokens == sum(len(ids) - 1 for ids in windows_of(batches))
    assert found.n_documents == 12


def decoded(source: SaeSource, x: Tensor, wanted: Tensor | None) -> tuple[Tensor, Tensor]:
    """SAELens's own reconstruction of x, with the unit at `wanted`, and the unit's activations."""
    with torch.no_grad():
        latents = source.sae.encode(x)
        values = latents[..., UNIT].clone()
        if wanted is not None:
            latents[0, 1:, UNIT] = wanted
        return source.sae.decode(latents), values


@pytest.mark.parametrize("kind", ["none", "constant_norm_rescale", "layer_norm", "transcoder"])
def test_a_latent_is_replaced_in_what_saelens_reconstructs(
    model: LoadedModel,
    batches: list[WindowBatch],
    documents: dict[int, int],
    tmp_path: Path,
    kind: str,
) -> None:
    """Brute force: the model's stream moves by the difference of two whole reconstructions."""
    if kind == "transcoder":
        directory = make_transcoder(tmp_path / "sae", d=model.d_model)
    else:
        directory = make_sae(tmp_path / "sae", d_in=model.d_model, normalize=kind)
    source = sae_source(str(directory), model)
    windows = windows_of(batches)
    inputs = [
        model.run_to(ids[None], None, [source.hook_point])[source.hook_point] for ids in windows
    ]
    with torch.no_grad():  # it is on at half of the positions
        source.sae.b_enc[UNIT] = 1000.0
        on = torch.cat([decoded(source, x, None)[1][0, 1:] for x in inputs])
        source.sae.b_enc[UNIT] -= on.median()
    read = [decoded(source, x, None)[1][0, 1:].double().numpy() for x in inputs]
    values, ends = np.concatenate(read), np.cumsum([0, *map(len, read)])
    holds = np.arange(len(values)) % 3 == 0
    assert 0 < (values > 0).sum() < len(values)

    def held_at(wanted: np.ndarray) -> float:
        def change(i: int, x: Tensor) -> Tensor:
            new = torch.from_numpy(wanted[ends[i] : ends[i + 1]]).float()
            return x + decoded(source, inputs[i], new)[0] - decoded(source, inputs[i], None)[0]

        return naive_loss(model, windows, change, source.hook_point_out)

    predicted = np.where(holds, values[holds].mean(), values[~holds].mean())
    wanted = [held_at(each) for each in (values, np.full(len(values), values.mean()), predicted)]
    found = measure(model, source, batches, documents, [Question(UNIT, holds)], 0)[0]
    assert (found.intact, found.mean, found.rule) == pytest.approx(wanted, abs=2e-6)
    assert abs(found.mean - found.intact) > 1e-5


def test_a_rule_that_says_nothing_is_the_mean(
    model: LoadedModel, batches: list[WindowBatch], documents: dict[int, int]
) -> None:
    everywhere = np.ones(n_positions(batches), dtype=bool)
    source = neuron_source(model, 1)
    for holds in (everywhere, ~everywhere):
        found = measure(model, source, batches, documents, [Question(UNIT, holds)], 0)[0]
        assert found.rule == pytest.approx(found.mean, abs=1e-9)


def test_a_dead_unit_is_not_measurable(
    model: LoadedModel, latents: SaeSource, batches: list[WindowBatch], documents: dict[int, int]
) -> None:
    with torch.no_grad():
        latents.sae.b_enc[UNIT] = -1e6
    holds = np.arange(n_positions(batches)) % 2 == 0
    found = measure(model, latents, batches, documents, [Question(UNIT, holds)], 0)[0]
    assert found.mean == found.intact == found.rule
    assert not found.is_measurable
    assert (found.ratio, found.ratio_low, found.ratio_high) == (None, None, None)


def test_many_questions_give_what_each_gives_alone(
    model: LoadedModel, batches: list[WindowBatch], documents: dict[int, int]
) -> None:
    source, n = neuron_source(model, 1), n_positions(batches)
    questions = [Question(unit, np.arange(n) % k == 0) for unit in (9, 2) for k in (2, 3)]
    together = measure(model, source, batches, documents, questions, 0)
    alone = [measure(model, source, batches, documents, [each], 0)[0] for each in questions]
    assert together == alone


def ratio_of(intact: list[float], mean: list[float], rule: list[float]) -> LossRecovered:
    n_tokens = np.full(len(intact), 10)
    return bootstrap(n_tokens, np.array(intact), [np.array(mean)], [np.array(rule)], 0)[0]


def test_a_rule_that_gives_the_unit_back_recovers_all_of_the_loss() -> None:
    found = ratio_of([20.0, 30.0, 25.0], [22.0, 33.0, 26.0], [20.0, 30.0, 25.0])
    assert (found.ratio, found.ratio_low, found.ratio_high) == (1.0, 1.0, 1.0)


def test_an_effect_that_documents_disagree_on_is_not_measurable() -> None:
    found = ratio_of([20.0, 20.0, 20.0, 20.0], [22.0, 18.5, 21.0, 19.0], [20.0] * 4)
    assert not found.is_measurable
