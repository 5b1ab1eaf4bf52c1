"""Train the language model: a plain `GPT2LMHeadModel`, so that any loader reads what ships.

Matrices inside the blocks are trained by Muon (momentum, orthogonalised by Newton-Schulz; Jordan et
al. 2024), which needs about half of AdamW's tokens at this size; embeddings, biases and norms by
AdamW. The learning rate warms up, holds, then falls linearly to zero. Weights are float32 and the
forward pass runs under bfloat16 autocast. About 13,000 tokens/s on two CPU cores.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

from demo.config import (
    CONTEXT_LENGTH,
    END_OF_TEXT_ID,
    SEED,
    VOCABULARY_SIZE,
    ModelSettings,
)
from demo.data import training_batches

HOLD_SHARE = 0.4
"""The share of the steps after which the learning rate starts to fall."""
GRADIENT_NORM_LIMIT = 1.0
STEPS_BETWEEN_LINES = 25


def new_model(settings: ModelSettings) -> GPT2LMHeadModel:
    """The untrained model; its weights depend on torch's global seed."""
    config = GPT2Config(
        vocab_size=VOCABULARY_SIZE,
        n_positions=CONTEXT_LENGTH,
        n_embd=settings.d_model,
        n_layer=settings.n_layers,
        n_head=settings.n_heads,
        activation_function="gelu_new",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=END_OF_TEXT_ID,
        eos_token_id=END_OF_TEXT_ID,
        tie_word_embeddings=True,
    )
    return GPT2LMHeadModel(config)


def learning_rate_scale(step: int, settings: ModelSettings) -> float:
    """Warm-up, plateau, linear fall to zero at the last step."""
    warm_up = min(1.0, (step + 1) / settings.n_warmup_steps)
    n_falling = settings.n_steps * (1 - HOLD_SHARE)
    return min(warm_up, (settings.n_steps - step) / n_falling, 1.0)


def _optimizers(model: nn.Module, settings: ModelSettings) -> list[torch.optim.Optimizer]:
    named = list(model.named_parameters())
    matrices = [p for name, p in named if ".h." in name and p.ndim == 2]
    others = [p for name, p in named if not (".h." in name and p.ndim == 2)]
    muon = torch.optim.Muon(
        matrices,
        lr=settings.matrix_lr,
        weight_decay=settings.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    adamw = torch.optim.AdamW(
        others, lr=settings.embedding_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True
    )
    for group in [*muon.param_groups, *adamw.param_groups]:
        group["peak_lr"] = group["lr"]
    return [muon, adamw]


def next_token_loss(model: GPT2LMHeadModel, rows: Int[Tensor, "batch pos"]) -> Float[Tensor, ""]:
    """Mean loss in nats of every token of `rows` but the first, under bfloat16 autocast."""
    with torch.autocast(rows.device.type, torch.bfloat16):
        logits = model(rows[:, :-1], use_cache=False).logits
    return cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())


def train_model(
    stream: Int[Tensor, " pos"], settings: ModelSettings, device: torch.device
) -> Iterator[tuple[int, GPT2LMHeadModel]]:
    """Train, yielding (steps done, model) after every step so that the caller may save early."""
    torch.manual_seed(SEED)
    model = new_model(settings).to(device).train()
    optimizers = _optimizers(model, settings)
    batches = training_batches(stream, settings.batch_size, torch.Generator().manual_seed(SEED))
    started, losses = time.monotonic(), list[float]()
    for step in range(settings.n_steps):
        losses.append(_train_step(model, optimizers, next(batches).to(device), step, settings))
        if (step + 1) % STEPS_BETWEEN_LINES == 0:
            n_tokens = (step + 1) * settings.batch_size * CONTEXT_LENGTH
            recent = sum(losses[-STEPS_BETWEEN_LINES:]) / STEPS_BETWEEN_LINES
            elapsed = time.monotonic() - started
            print(
                f"step {step + 1}/{settings.n_steps}  loss {recent:.3f}  "
                f"{n_tokens / elapsed:,.0f} tokens/s  {elapsed:.0f} s",
                flush=True,
            )
        yield step + 1, model


def _train_step(
    model: GPT2LMHeadModel,
    optimizers: list[torch.optim.Optimizer],
    rows: Int[Tensor, "batch pos"],
    step: int,
    settings: ModelSettings,
) -> float:
    loss = next_token_loss(model, rows)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM_LIMIT)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * learning_rate_scale(step, settings)
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def save_model(model: GPT2LMHeadModel, folder: Path) -> None:
    """Write the model with weights stored as float16, to be loaded as float32.

    Half the bytes, for a rounding of 1 in 2,048 that costs the model no measurable loss. The
    configuration still says float32, which is what loaders then give: float16 arithmetic is slow
    on a CPU.
    """
    shipped = GPT2LMHeadModel(model.config)
    shipped.load_state_dict(model.state_dict())
    shipped.half().save_pretrained(folder)
    shipped.config.dtype = torch.float32
    shipped.config.save_pretrained(folder)
