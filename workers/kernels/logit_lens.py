"""The logit lens of output directions."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor


class LogitLens(NamedTuple):
    """Most promoted and most suppressed tokens of each unit, strongest first."""

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
    """The `k` tokens that each direction raises and lowers most."""
    raise NotImplementedError
