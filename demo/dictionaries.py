"""Train the SAEs and the transcoder with SAELens's own trainer.

SAELens is given a stream of activations of the shipped model on training modules: windows that
start with BOS, the BOS position left out, scaled to a mean norm of sqrt(d_model), and shuffled over
a chunk of about 260,000 positions. Two things keep latents alive: a start from data, and the
trainer's auxiliary loss, which revives what has not fired for 200,000 positions.

SAELens trains no transcoders, so `TrainingTranscoder` makes its batch top-k SAE into one: each
sample is the MLP's input and its output side by side.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from sae_lens import (
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    JumpReLUTranscoder,
    JumpReLUTranscoderConfig,
    SAETrainer,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.sae import SAEMetadata, TrainStepInput, TrainStepOutput
from torch import Tensor
from torch.nn.functional import normalize
from transformers import GPT2LMHeadModel

from demo.activations import WINDOWS_PER_FORWARD, layer_of, read, up_to_layer
from demo.config import CONTEXT_LENGTH, SEED, DictionarySettings
from demo.data import training_batches

WINDOWS_PER_CHUNK = 1024
STEPS_UNTIL_DEAD = 50
FALLING_SHARE = 0.4
"""The share of the steps over which the learning rate falls to zero."""
SAE_START_NORM = 0.1
TRANSCODER_START_NORM = 0.3
"""Norm of a latent's weights at the start. SAELens's 0.1 is so small beside the learning rate that
a transcoder's latents lose their directions in the first steps, and a tenth of them die."""
MODEL_NAME = "demo/model"

Samples = Float[Tensor, "samples channels"]


@dataclass(frozen=True)
class Scaling:
    """What brings inputs and outputs to a mean norm of sqrt(d_model), and their means before."""

    scale_in: float
    scale_out: float
    mean_in: Float[Tensor, " d_in"]
    mean_out: Float[Tensor, " d_out"]


class TrainingTranscoder(BatchTopKTrainingSAE):  # type: ignore[misc]
    """A batch top-k SAE whose samples are (input, target) side by side."""

    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        """Encode the first half of the channels, reconstruct the second."""
        inputs, targets = torch.split(step_input.sae_in, self.cfg.d_in, dim=-1)
        acts, hidden_pre = self.encode_with_hidden_pre(inputs)
        outputs = self.decode(acts)
        mse = (outputs - targets).pow(2).sum(dim=-1).mean()
        aux = self.calculate_aux_loss(
            replace(step_input, sae_in=targets), acts, hidden_pre, outputs
        )
        self.update_topk_threshold(acts)
        return TrainStepOutput(
            sae_in=inputs,
            sae_out=outputs,
            feature_acts=acts,
            hidden_pre=hidden_pre,
            loss=mse + sum(aux.values()),
            losses={"mse_loss": mse, **aux},
        )


def activation_chunks(
    model: GPT2LMHeadModel, stream: Int[Tensor, " pos"], settings: DictionarySettings
) -> Iterator[Samples]:
    """Endless shuffled chunks of activations: the input's channels, then a transcoder's targets."""
    generator = torch.Generator().manual_seed(SEED)
    names = list(dict.fromkeys([settings.hook_name, settings.hook_name_out]))
    cut = up_to_layer(model, layer_of(settings.hook_name_out))
    for rows in training_batches(stream, WINDOWS_PER_CHUNK, generator):
        with torch.autocast(model.device.type, torch.bfloat16):
            parts = [
                torch.cat([seen[name].float() for name in names], dim=1)
                for piece in torch.split(rows[:, :-1], WINDOWS_PER_FORWARD)
                for seen in [read(cut, piece.to(model.device), names)]
            ]
        chunk = torch.cat(parts)
        yield chunk[torch.randperm(len(chunk), generator=generator).to(chunk.device)]


def measure_scaling(chunk: Samples, d_model: int) -> Scaling:
    """Scaling from one chunk of activations. For an SAE, input and output are the same channels."""
    inputs, outputs = chunk[:, :d_model], chunk[:, -d_model:]
    scale_in, scale_out = (
        math.sqrt(d_model) / float(part.norm(dim=1).mean()) for part in (inputs, outputs)
    )
    return Scaling(scale_in, scale_out, inputs.mean(dim=0), outputs.mean(dim=0))


def scaled_batches(
    chunks: Iterator[Samples], scaling: Scaling, d_model: int, batch_size: int
) -> Iterator[Samples]:
    """Cut chunks into the trainer's batches, scaled; a chunk's short last batch is dropped.

    A transcoder's input is centred as well. An SAE subtracts its decoder's bias from what it reads;
    without the like, each step along the input's large mean moves a latent at all positions at
    once, and most latents are pushed below every threshold within a hundred steps.
    """
    for chunk in chunks:
        if chunk.shape[1] > d_model:
            chunk[:, :d_model] -= scaling.mean_in
            chunk[:, d_model:] *= scaling.scale_out
        chunk[:, :d_model] *= scaling.scale_in
        yield from (batch for batch in torch.split(chunk, batch_size) if len(batch) == batch_size)


def train_dictionary(
    model: GPT2LMHeadModel, stream: Int[Tensor, " pos"], settings: DictionarySettings
) -> BatchTopKTrainingSAE | TopKTrainingSAE:
    """Train one dictionary; its weights come back in the units of the model's activations."""
    torch.manual_seed(SEED)
    d_model = model.config.n_embd
    chunks = activation_chunks(model, stream, settings)
    first = next(chunks)
    scaling = measure_scaling(first, d_model)
    dictionary = _untrained(settings, d_model, str(model.device))
    _start_from_data(dictionary, first, scaling)
    trainer = SAETrainer(
        cfg=_trainer_config(settings, str(model.device)),
        sae=dictionary,
        data_provider=scaled_batches(
            itertools.chain([first], chunks), scaling, d_model, settings.batch_size
        ),
    )
    trainer.fit()
    _undo_scaling(dictionary, scaling)
    return dictionary


@torch.no_grad()
def _start_from_data(
    dictionary: BatchTopKTrainingSAE | TopKTrainingSAE, chunk: Samples, scaling: Scaling
) -> None:
    """Set the starting point so that every latent has something to say.

    The decoder's bias starts at the mean of the output. An SAE's encoder starts as its decoder's
    transpose, which says nothing in a transcoder: there, each latent starts at one sample instead,
    reading along the sample's input and writing along its output, both less the mean.
    """
    dictionary.b_dec.copy_(scaling.mean_out * scaling.scale_out)
    if not isinstance(dictionary, TrainingTranscoder):
        return
    norm = dictionary.W_dec.norm(dim=1, keepdim=True)
    d_model, samples = dictionary.cfg.d_in, chunk[: dictionary.cfg.d_sae]
    dictionary.W_enc.copy_((norm * normalize(samples[:, :d_model] - scaling.mean_in)).T)
    dictionary.W_dec.copy_(norm * normalize(samples[:, d_model:] - scaling.mean_out))


def _untrained(
    settings: DictionarySettings, d_model: int, device: str
) -> BatchTopKTrainingSAE | TopKTrainingSAE:
    metadata = SAEMetadata(
        model_name=MODEL_NAME,
        hook_name=settings.hook_name,
        context_size=CONTEXT_LENGTH,
        prepend_bos=True,
    )
    shape = {"d_in": d_model, "d_sae": settings.n_latents, "device": device}
    if settings.kind == "topk":
        config = TopKTrainingSAEConfig(**shape, k=settings.n_active, metadata=metadata)
        return TopKTrainingSAE(config)
    is_transcoder = settings.kind == "transcoder"
    if is_transcoder:
        metadata.hook_name_out = settings.hook_name_out
    batch_config = BatchTopKTrainingSAEConfig(
        **shape,
        k=settings.n_active,
        apply_b_dec_to_input=not is_transcoder,
        decoder_init_norm=TRANSCODER_START_NORM if is_transcoder else SAE_START_NORM,
        metadata=metadata,
    )
    return (TrainingTranscoder if is_transcoder else BatchTopKTrainingSAE)(batch_config)


def _trainer_config(settings: DictionarySettings, device: str) -> SAETrainerConfig:
    n_steps = settings.n_samples // settings.batch_size
    return SAETrainerConfig(
        total_training_samples=settings.n_samples,
        train_batch_size_samples=settings.batch_size,
        lr=settings.lr,
        lr_end=0.0,
        lr_warm_up_steps=n_steps // 20,
        lr_decay_steps=int(n_steps * FALLING_SHARE),
        device=device,
        autocast=True,
        dead_feature_window=STEPS_UNTIL_DEAD,
        feature_sampling_window=100,
    )


@torch.no_grad()
def _undo_scaling(dictionary: BatchTopKTrainingSAE | TopKTrainingSAE, scaling: Scaling) -> None:
    """Fold the scaling, and a transcoder's centring, into the weights.

    The decoder's rows are normalised first: a top-k activation is then in units of the output, and
    dividing it by the output's scale leaves unit rows and selects the same latents.
    """
    if isinstance(dictionary, TrainingTranscoder):
        dictionary.b_enc -= (scaling.mean_in * scaling.scale_in) @ dictionary.W_enc
    norms = dictionary.W_dec.norm(dim=1)
    dictionary.W_dec /= norms[:, None]
    dictionary.W_enc *= norms * (scaling.scale_in / scaling.scale_out)
    dictionary.b_enc *= norms / scaling.scale_out
    dictionary.b_dec /= scaling.scale_out
    if isinstance(dictionary, BatchTopKTrainingSAE):
        dictionary.topk_threshold /= scaling.scale_out


def save_dictionary(dictionary: BatchTopKTrainingSAE | TopKTrainingSAE, folder: Path) -> None:
    """Write `cfg.json` and `sae_weights.safetensors` as SAELens's loaders want them."""
    dictionary.cfg.device = "cpu"
    if not isinstance(dictionary, TrainingTranscoder):
        dictionary.save_inference_model(folder)
        return
    state = {name: value.cpu() for name, value in dictionary.state_dict().items()}
    dictionary.process_state_dict_for_saving_inference(state)
    config = JumpReLUTranscoderConfig(
        d_in=dictionary.cfg.d_in,
        d_out=dictionary.cfg.d_in,
        d_sae=dictionary.cfg.d_sae,
        apply_b_dec_to_input=False,
        metadata=dictionary.cfg.metadata,
    )
    transcoder = JumpReLUTranscoder(config)
    transcoder.load_state_dict(state)
    transcoder.save_model(folder)
