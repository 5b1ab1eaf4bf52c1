"""A scan fits into what there is, or says before it starts how much is lacking."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from workers import memory_plan
from workers.kernels import extremes, moments
from workers.memory_plan import MemoryPlan, TooLittleMemory, plan_memory, state_bytes

GB = 10**9


def model(device: str = "cpu", dtype: torch.dtype = torch.float32, **details: Any) -> Any:
    return SimpleNamespace(
        device=torch.device(device),
        dtype=dtype,
        d_model=768,
        d_mlp=3072,
        details={"attention": "sdpa", "n_heads": 12} | details,
    )


def neurons(layer: int = 0, n_units: int = 3072) -> Any:
    return SimpleNamespace(
        kind="neuron",
        hook_point=f"blocks.{layer}.mlp.hook_post",
        n_units=n_units,
        is_signed=True,
        is_sparse=False,
        is_elementwise=False,
    )


def latents(n_units: int, *, is_elementwise: bool = True) -> Any:
    return SimpleNamespace(
        kind="sae_latent",
        hook_point="blocks.8.hook_resid_pre",
        n_units=n_units,
        is_signed=False,
        is_sparse=True,
        is_elementwise=is_elementwise,
    )


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets how many bytes are free, on any device."""

    def set_free(n_bytes: float) -> None:
        monkeypatch.setattr(memory_plan, "free_bytes", lambda _: int(n_bytes))
        monkeypatch.setattr(memory_plan, "available_bytes", lambda: int(n_bytes))

    return set_free


def planned(sources: list[Any], on: Any = None, **settings: int) -> MemoryPlan:
    given = {"top_k": 20, "context": 128, "n_threads": 4} | settings
    return plan_memory(on or model(), sources, **given)


@pytest.mark.parametrize("source", [neurons(n_units=70), latents(70)])
def test_the_state_is_as_large_as_its_tensors(source: Any) -> None:
    sums = moments.empty(70)
    lists = [extremes.empty(70, 20, 128, 1)]
    if source.is_signed:
        lists.append(extremes.empty(70, 20, 128, -1))
    if source.is_sparse:
        lists.append(extremes.empty(70, memory_plan.N_ACTIVE, 128, 1, seed=1))
    tensors = [sums.n_active, sums.sums, sums.max, sums.min]
    for state in lists:
        tensors += [value for value in vars_of(state) if isinstance(value, torch.Tensor)]
    assert state_bytes(source, 20, 128) == sum(tensor.nbytes for tensor in tensors)


def vars_of(state: extremes.Extremes) -> list[Any]:
    return [getattr(state, name) for name in state.__slots__]


def test_with_enough_memory_there_is_a_batch_a_thread(free: Any) -> None:
    free(100 * GB)
    plan = planned([neurons(layer) for layer in range(12)])
    assert (plan.n_batches, plan.batch_tokens) == (4, 1024)
    assert plan.scratch_bytes > 40 * GB


def test_with_less_there_are_fewer_batches_then_smaller_ones(free: Any) -> None:
    sources = [neurons(layer) for layer in range(12)]
    free(100 * GB)
    ample = planned(sources)
    seen = []
    for n_batches in (4, 3, 2, 1, 0.5, 0.25):
        free((ample.state_bytes + n_batches * ample.batch_bytes + 1) / 0.9 + 2)
        plan = planned(sources)
        assert plan.state_bytes + plan.n_batches * plan.batch_bytes <= ample.state_bytes + max(
            n_batches * ample.batch_bytes + 2, 0
        )
        seen.append((plan.n_batches, plan.batch_tokens))
    assert seen == [(4, 1024), (3, 1024), (2, 1024), (1, 1024), (1, 512), (1, 256)]


def test_too_little_is_told_with_both_numbers_and_what_to_do(free: Any) -> None:
    free(1 * GB)
    with pytest.raises(
        TooLittleMemory, match=r"needs 4 GB .* 1,048,576 units.* 0\.9 GB can.*--neurons.*--top-k"
    ):
        planned([latents(1 << 20)])


def test_an_elementwise_dictionary_is_never_read_whole(free: Any) -> None:
    free(100 * GB)
    wide, narrow = planned([latents(1 << 20)]), planned([latents(1 << 14)])
    assert wide.batch_bytes == narrow.batch_bytes
    top_k = planned([latents(1 << 20, is_elementwise=False)])
    assert top_k.batch_bytes > 2 * 4 * 128 * (1 << 20)


def test_a_gpu_takes_one_batch_and_leaves_scratch_to_the_machine(free: Any) -> None:
    free(40 * GB)
    plan = planned([neurons()], model("cuda", torch.bfloat16))
    assert (plan.n_batches, plan.batch_tokens, plan.scratch_bytes) == (1, 16384, 20 * GB)


def test_attention_that_is_written_out_counts(free: Any) -> None:
    free(100 * GB)
    eager = planned([neurons()], model(attention="eager"), context=1024)
    assert (
        eager.batch_bytes >= planned([neurons()], context=1024).batch_bytes + 3 * 12 * 4 * 1024**2
    )
