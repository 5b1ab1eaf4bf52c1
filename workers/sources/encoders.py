"""Dictionaries' encoders, faster than SAELens's own and equal to them bit for bit.

SAELens prepares the input (normalisation, decoder bias). The product with the encoder matrix is
the same call on the same numbers; what comes after it is done in place, in SAELens's order of
operations: on a CPU by the kernels in `workers.kernels.encoders`, elsewhere by PyTorch. The tests
hold all of them to `encode`. (A product with some of the matrix's columns may differ from that
with all in the last bit, as one with another number of rows may.) What is no ReLU, JumpReLU, gated
or top-k encoder goes through `encode` itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from workers.kernels import encoders
from workers.sources.quiet import quiet

Rows = Float[Tensor, "rows units"]


class Encoder(Protocol):
    """From the dictionary's prepared input, one row a position, to latents."""

    @property
    def is_elementwise(self) -> bool:
        """Whether a latent depends on no other, so that some of them can be read alone."""

    def encode(self, x: Float[Tensor, "rows d"], units: slice) -> Rows:
        """Latents `units` in memory of their own; all of them unless elementwise."""


@dataclass(frozen=True, slots=True)
class ReluEncoder:
    """h + b above 0."""

    W_enc: Float[Tensor, "d units"]
    bias: Float[Tensor, " units"]
    is_elementwise: bool = True

    def encode(self, x: Float[Tensor, "rows d"], units: slice) -> Rows:
        """As `StandardSAE.encode`."""
        h, bias = x @ self.W_enc[:, units], self.bias[units]
        if h.device.type != "cpu":
            return h.add_(bias).relu_()
        encoders.relu(h, bias)
        return h


@dataclass(frozen=True, slots=True)
class JumpReluEncoder:
    """h + b above 0 and a threshold of each latent's own."""

    W_enc: Float[Tensor, "d units"]
    bias: Float[Tensor, " units"]
    threshold: Float[Tensor, " units"]
    is_elementwise: bool = True

    def encode(self, x: Float[Tensor, "rows d"], units: slice) -> Rows:
        """As `JumpReLUSAE.encode`."""
        h = x @ self.W_enc[:, units]
        bias, threshold = self.bias[units], self.threshold[units]
        if h.device.type != "cpu":
            is_above = h.add_(bias) > threshold
            return h.relu_().mul_(is_above)
        encoders.jump_relu(h, bias, threshold)
        return h


@dataclass(frozen=True, slots=True)
class GatedEncoder:
    """One product says which latents are active, another how much."""

    W_gate: Float[Tensor, "d units"]
    gate_bias: Float[Tensor, " units"]
    W_mag: Float[Tensor, "d units"]
    bias: Float[Tensor, " units"]
    is_elementwise: bool = True

    def encode(self, x: Float[Tensor, "rows d"], units: slice) -> Rows:
        """As `GatedSAE.encode`, which scales its matrix anew each time."""
        gate, h = x @ self.W_gate[:, units], x @ self.W_mag[:, units]
        gate_bias, bias = self.gate_bias[units], self.bias[units]
        if h.device.type != "cpu":
            return h.add_(bias).relu_().mul_(gate.add_(gate_bias) > 0)
        encoders.gated(h, bias, gate, gate_bias)
        return h


@dataclass(frozen=True, slots=True)
class TopKEncoder:
    """The k greatest of (h + b) · scale at each position, where they are positive."""

    W_enc: Float[Tensor, "d units"]
    bias: Float[Tensor, " units"]
    scale: Float[Tensor, " units"]
    k: int
    choose: Callable[[Rows], Rows]
    is_elementwise: bool = False

    def encode(self, x: Float[Tensor, "rows d"], units: slice) -> Rows:
        """As `TopKSAE.encode`; SAELens itself chooses among tied ones."""
        h = x @ self.W_enc
        if h.device.type != "cpu":
            return self.choose(h.add_(self.bias).mul_(self.scale))
        undecided = encoders.top_k(h, self.bias, self.scale, self.k)
        if len(undecided):
            h[undecided] = self.choose(h[undecided])
        return h


def encoder_of(sae: Any) -> Encoder | None:
    """The encoder of an SAE or a transcoder; None where SAELens's own has to be used."""
    with quiet():
        from sae_lens import GatedSAE, JumpReLUSAE, JumpReLUTranscoder, StandardSAE, Transcoder
        from sae_lens.saes.topk_sae import TopK, TopKSAE
    encode, fn = type(sae).encode, sae.activation_fn
    is_relu = type(fn) is torch.nn.ReLU
    if encode in (StandardSAE.encode, Transcoder.encode) and is_relu:
        return ReluEncoder(sae.W_enc.detach(), sae.b_enc.detach())
    if encode in (JumpReLUSAE.encode, JumpReLUTranscoder.encode) and is_relu:
        return JumpReluEncoder(sae.W_enc.detach(), sae.b_enc.detach(), sae.threshold.detach())
    if encode is GatedSAE.encode and is_relu:
        W_enc = sae.W_enc.detach()
        W_mag = W_enc * sae.r_mag.detach().exp()
        return GatedEncoder(W_enc, sae.b_gate.detach(), W_mag, sae.b_mag.detach())
    if encode is TopKSAE.encode and type(fn) is TopK and not fn.use_sparse_activations:
        bias = sae.b_enc.detach()
        scale = torch.ones_like(bias)
        if sae.cfg.rescale_acts_by_decoder_norm:
            scale = sae.W_dec.detach().norm(dim=-1)
        return TopKEncoder(sae.W_enc.detach(), bias, scale, fn.k, fn)
    return None
