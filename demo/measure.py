"""The figures of the model card, all on held-out modules.

The model's loss is that of the files that ship, loaded as float32, on back-to-back windows of 256
tokens with BOS before each. For a dictionary:

- L0: mean number of active latents at a position;
- variance unexplained: the squared error over the squared distance from the mean activation, both
  summed over positions and channels. For a transcoder the target is the MLP's output;
- loss recovered: (L_ablated - L_replaced) / (L_ablated - L_intact), where "replaced" puts the
  dictionary's output in place of the activation at every non-BOS position and "ablated" puts the
  mean activation there, or zero;
- dead: the share of latents that are active at no position.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sae_lens import SAE
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GPT2LMHeadModel

from demo import ngrams
from demo.activations import WINDOWS_PER_FORWARD, Edit, edited, layer_of, read, up_to_layer
from demo.config import (
    CONTEXT_LENGTH,
    DICTIONARIES,
    DICTIONARY_FOLDER,
    END_OF_TEXT_ID,
    VOCABULARY_SIZE,
    DictionarySettings,
    ModelSettings,
)
from demo.data import Split, windows
from demo.overlap import RUN_LENGTH, repeated_share
from workers.sources.stdlib import stdlib_texts

N_WINDOWS_SPLICED = 512
"""Windows on which the loss with a replaced activation is measured, spread over all of them."""


@dataclass(frozen=True)
class DictionaryFigures:
    """Held-out figures of one dictionary."""

    slug: str
    architecture: str
    hook_name: str
    hook_name_out: str
    n_latents: int
    n_positions: int
    l0: float
    variance_unexplained: float
    dead_share: float
    n_positions_spliced: int
    loss_intact: float
    loss_replaced: float
    loss_mean_ablated: float
    loss_zero_ablated: float
    loss_recovered_mean_ablation: float
    loss_recovered_zero_ablation: float


@torch.no_grad()
def model_loss(model: GPT2LMHeadModel, rows: Int[Tensor, "windows pos"]) -> float:
    """Mean loss in nats of every token of `rows` but the first, in float32."""
    total = 0.0
    for piece in torch.split(rows, WINDOWS_PER_FORWARD):
        piece = piece.long().to(model.device)
        logits = model(piece[:, :-1], use_cache=False).logits
        total += cross_entropy(logits.flatten(0, 1), piece[:, 1:].flatten(), reduction="sum").item()
    return total / rows[:, 1:].numel()


@dataclass
class _Sums:
    """What one pass over the held-out activations adds up."""

    n_positions: int
    n_active: Float[Tensor, " d_sae"]
    squared_error: float
    target_sum: Float[Tensor, " d_out"]
    target_squares: float


@torch.no_grad()
def _accumulate(
    model: GPT2LMHeadModel,
    dictionary: SAE,
    settings: DictionarySettings,
    rows: Int[Tensor, "windows pos"],
) -> _Sums:
    sums = _Sums(
        n_positions=0,
        n_active=torch.zeros(settings.n_latents, dtype=torch.float64),
        squared_error=0.0,
        target_sum=torch.zeros(model.config.n_embd, dtype=torch.float64),
        target_squares=0.0,
    )
    cut = up_to_layer(model, layer_of(settings.hook_name_out))
    for piece in torch.split(rows[:, :-1], WINDOWS_PER_FORWARD):
        names = [settings.hook_name, settings.hook_name_out]
        seen = read(cut, piece.long().to(model.device), names)
        target = seen[settings.hook_name_out]
        latents = dictionary.encode(seen[settings.hook_name])
        sums.n_positions += len(target)
        sums.n_active += (latents > 0).sum(dim=0).double().cpu()
        sums.squared_error += (dictionary.decode(latents) - target).square().sum().item()
        sums.target_sum += target.sum(dim=0).double().cpu()
        sums.target_squares += target.square().sum().item()
    return sums


def _only_at(positions: Bool[Tensor, "batch pos"], values: Tensor, otherwise: Tensor) -> Tensor:
    return torch.where(positions[..., None], values, otherwise)


@torch.no_grad()
def _spliced_loss(
    model: GPT2LMHeadModel, settings: DictionarySettings, rows: Tensor, replace: Edit
) -> float:
    """The model's loss with `replace(input activation)` at the output hook point, BOS excepted."""
    held: dict[str, Tensor] = {}
    total = 0.0

    def keep(activations: Tensor) -> Tensor:
        held["input"] = activations
        return activations

    for piece in torch.split(rows, WINDOWS_PER_FORWARD):
        counted = piece[:, :-1].to(model.device) != END_OF_TEXT_ID

        def write(activations: Tensor, counted: Tensor = counted) -> Tensor:
            return _only_at(counted, replace(held["input"]), activations)

        with (
            edited(model, settings.hook_name, keep),
            edited(model, settings.hook_name_out, write),
        ):
            total += model_loss(model, piece) * len(piece)
    return total / len(rows)


def load_dictionary(settings: DictionarySettings, folder: Path = DICTIONARY_FOLDER) -> SAE:
    """Load what ships as SAELens loads anything; its `cfg.json` names the class."""
    return SAE.load_from_disk(folder / settings.slug).eval()


def measure_dictionary(
    model: GPT2LMHeadModel, settings: DictionarySettings, rows: Int[Tensor, "windows pos"]
) -> DictionaryFigures:
    """All figures of one shipped dictionary."""
    dictionary = load_dictionary(settings).to(model.device)
    sums = _accumulate(model, dictionary, settings, rows)
    mean = sums.target_sum / sums.n_positions
    variance = sums.target_squares - sums.n_positions * mean.square().sum().item()
    spliced = rows[:: max(1, len(rows) // N_WINDOWS_SPLICED)][:N_WINDOWS_SPLICED]
    mean_out = mean.float().to(model.device)
    intact = model_loss(model, spliced)
    replaced, mean_ablated, zero_ablated = (
        _spliced_loss(model, settings, spliced, edit)
        for edit in (
            lambda x: dictionary.decode(dictionary.encode(x)),
            lambda x: mean_out.expand_as(x),
            torch.zeros_like,
        )
    )
    return DictionaryFigures(
        slug=settings.slug,
        architecture=dictionary.cfg.architecture(),
        hook_name=settings.hook_name,
        hook_name_out=settings.hook_name_out,
        n_latents=settings.n_latents,
        n_positions=sums.n_positions,
        l0=sums.n_active.sum().item() / sums.n_positions,
        variance_unexplained=sums.squared_error / variance,
        dead_share=(sums.n_active == 0).double().mean().item(),
        n_positions_spliced=spliced[:, 1:].numel(),
        loss_intact=intact,
        loss_replaced=replaced,
        loss_mean_ablated=mean_ablated,
        loss_zero_ablated=zero_ablated,
        loss_recovered_mean_ablation=(mean_ablated - replaced) / (mean_ablated - intact),
        loss_recovered_zero_ablation=(zero_ablated - replaced) / (zero_ablated - intact),
    )


def measure_dictionaries(
    model: GPT2LMHeadModel, rows: Int[Tensor, "windows pos"]
) -> list[dict[str, object]]:
    """The figures of everything in `DICTIONARIES`."""
    return [asdict(measure_dictionary(model, settings, rows)) for settings in DICTIONARIES]


def measure_model(model: GPT2LMHeadModel, train: Split, held_out: Split) -> dict[str, object]:
    """The model's loss on held-out windows, and on as many of the training modules'."""
    rows, training_rows = windows(held_out.tokens), windows(train.tokens)
    training_rows = training_rows[:: len(training_rows) // len(rows)][: len(rows)]
    settings = ModelSettings()
    return {
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "n_tokens_measured": rows[:, 1:].numel(),
        "n_tokens_seen": settings.n_steps * settings.batch_size * CONTEXT_LENGTH,
        "loss": model_loss(model, rows),
        "training_loss": model_loss(model, training_rows),
    }


def measure_baselines(train: Split, held_out: Split) -> dict[str, float]:
    """The loss of n-gram models on the tokens that the model was measured on, but the first two."""
    known = train.tokens.numpy().astype(np.int64)
    asked = windows(held_out.tokens)[:, 1:].flatten().numpy().astype(np.int64)
    names = {1: "unigram", 2: "bigram", 3: "trigram"}
    losses = {name: ngrams.loss(known, asked, order) for order, name in names.items()}
    return {"uniform": math.log(VOCABULARY_SIZE), **losses}


def measure_corpus(train: Split, held_out: Split) -> dict[str, object]:
    """What the two sides of the split hold, and how much of one is in the other."""
    known, asked = (side.tokens.numpy().astype(np.int64) for side in (train, held_out))
    return {
        "n_train_modules": train.n_documents,
        "n_held_out_modules": held_out.n_documents,
        "n_train_tokens": len(known),
        "n_held_out_tokens": len(asked),
        "bytes_per_token": (train.n_bytes + held_out.n_bytes) / (len(known) + len(asked)),
        "repeated_share": repeated_share(known, asked),
        "run_length": RUN_LENGTH,
        "n_undecodable": stdlib_texts().n_undecodable,
    }
