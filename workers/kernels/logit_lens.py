"""The logit lens: which tokens a direction in the residual stream promotes and suppresses.

A direction d goes through what the final norm does to every vector alike, then through the
unembedding: centred where the norm is a LayerNorm, times the norm's gain, times W_U. The norm's
division depends on everything else in the residual stream, so it is left out: values are in
logits for one unit of activation, times a factor that is the same for all tokens. The bias of the
norm and of the unembedding do not depend on the direction. Since softmax sees only differences,
logits are centred over the vocabulary: a positive value promotes its token over the mean token.
(nostalgebraist's logit lens, for a direction; "direct logit attribution" in the circuits papers.)

Cost: units × d_model × d_vocab multiplications, in chunks of units that hold at most 2²⁴ logits.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

CONVENTION = (
    "output direction, centred where the final norm is a LayerNorm, times the final norm's gain, "
    "times the unembedding, centred over the vocabulary; the norm's division, biases and any "
    "logit soft cap left out"
)
_MAX_LOGITS = 1 << 24


class LogitLens(NamedTuple):
    """Most promoted and most suppressed tokens of each unit, strongest first; ties by token id."""

    promoted_ids: Int[Tensor, "units k"]
    promoted_values: Float[Tensor, "units k"]
    suppressed_ids: Int[Tensor, "units k"]
    suppressed_values: Float[Tensor, "units k"]


def logit_lens(
    directions: Float[Tensor, "units d_model"],
    norm_weight: Float[Tensor, " d_model"] | None,
    W_U: Float[Tensor, "d_model d_vocab"],
    *,
    is_centred: bool,
    k: int = 10,
) -> LogitLens:
    """The `k` tokens that each direction raises and lowers most (all, where there are fewer)."""
    chunk = max(1, _MAX_LOGITS // W_U.shape[1])
    k = min(k, W_U.shape[1])
    centred_W_U = W_U - W_U.mean(dim=1, keepdim=True)
    parts = []
    for some in torch.split(directions, chunk):
        logits = direction_logits(some, norm_weight, centred_W_U, is_centred=is_centred)
        high_values, high_ids = _strongest(logits, k)
        low_values, low_ids = _strongest(-logits, k)
        parts.append((high_ids, high_values, low_ids, -low_values))
    if not parts:
        return _nothing(k)
    return LogitLens(*(torch.cat(column) for column in zip(*parts, strict=True)))


def direction_logits(
    directions: Float[Tensor, "units d_model"],
    norm_weight: Float[Tensor, " d_model"] | None,
    W_U: Float[Tensor, "d_model d_vocab"],
    *,
    is_centred: bool,
) -> Float[Tensor, "units d_vocab"]:
    """Directions through centring, gain and `W_U`."""
    x = directions
    if is_centred:
        x = x - x.mean(dim=1, keepdim=True)
    if norm_weight is not None:
        x = x * norm_weight
    return x @ W_U


def _strongest(
    logits: Float[Tensor, "units d_vocab"], k: int
) -> tuple[Float[Tensor, "units k"], Int[Tensor, "units k"]]:
    """The `k` greatest of each row, descending, ties by id.

    `topk` breaks ties as it likes, so rows where the k-th value is tied are sorted in full.
    """
    values, ids = logits.topk(k, dim=1)
    tied = (logits >= values[:, -1:]).sum(dim=1) > k
    if bool(tied.any()):
        ordered = logits[tied].sort(dim=1, descending=True, stable=True)
        values[tied], ids[tied] = ordered.values[:, :k], ordered.indices[:, :k]
    order = _by_value_then_id(values, ids)
    return values.gather(1, order), ids.gather(1, order)


def _by_value_then_id(
    values: Float[Tensor, "units k"], ids: Int[Tensor, "units k"]
) -> Int[Tensor, "units k"]:
    by_id = ids.argsort(dim=1, stable=True)
    by_value = values.gather(1, by_id).argsort(dim=1, descending=True, stable=True)
    return by_id.gather(1, by_value)


def _nothing(k: int) -> LogitLens:
    ids, values = torch.zeros((0, k), dtype=torch.long), torch.zeros((0, k))
    return LogitLens(ids, values, ids, values)
