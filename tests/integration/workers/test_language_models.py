"""Plain models under TransformerLens's names, held to TransformerBridge itself."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from app.errors import InvalidInput, NotFound
from tests.tiny_models import CONFIGS
from workers.sources.language_models import LoadedModel, load_model
from workers.sources.quiet import quiet

TOLERANCE = 2e-5
PLACES = (
    "hook_resid_pre",
    "hook_resid_mid",
    "hook_resid_post",
    "hook_attn_out",
    "hook_mlp_out",
    "hook_mlp_in",
    "mlp.hook_in",
    "mlp.hook_pre",
    "mlp.hook_post",
    "attn.hook_z",
    "ln1.hook_normalized",
    "ln2.hook_normalized",
)
every_kind = pytest.mark.parametrize("kind", CONFIGS)
LoadTiny = Callable[[str], LoadedModel]


def some_tokens(n_windows: int = 2, n_tokens: int = 20) -> torch.Tensor:
    return torch.randint(0, 372, (n_windows, n_tokens), generator=torch.manual_seed(1))


def bridge_cache(model: LoadedModel, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    with quiet(), torch.no_grad():
        inner = copy.deepcopy(model.hf_model)
        config = copy.deepcopy(inner.config)
        bridge = build_bridge_from_module(inner, model.architecture, hf_config=config)
        bridge.cfg.use_hook_mlp_in = True
        return dict(bridge.run_with_cache(tokens)[1])


@every_kind
def test_activations_are_those_of_the_bridge(load_tiny: LoadTiny, kind: str) -> None:
    model, tokens = load_tiny(kind), some_tokens()
    cached = bridge_cache(model, tokens)
    n_compared = 0
    for layer in range(model.n_layers):
        for place in PLACES:
            name = f"blocks.{layer}.{place}"
            if name not in model.hooks.entries or name not in cached:
                continue
            ours = model.run_to(tokens, None, [name])[name]
            theirs = cached[name].reshape(ours.shape)
            error = float((ours - theirs).abs().max())
            assert error <= TOLERANCE * max(1.0, float(theirs.abs().max())), name
            n_compared += 1
    assert n_compared >= 6 * model.n_layers
    assert f"blocks.0.{PLACES[8]}" in cached


@every_kind
def test_several_places_come_from_one_forward(load_tiny: LoadTiny, kind: str) -> None:
    model, tokens = load_tiny(kind), some_tokens()
    names = ["blocks.1.mlp.hook_post", "blocks.0.hook_resid_post", "blocks.1.hook_resid_pre"]
    together = model.run_to(tokens, None, names)
    assert set(together) == set(names)
    for name in names:
        assert torch.equal(together[name], model.run_to(tokens, None, [name])[name])


def test_nothing_beyond_the_last_place_is_computed(load_tiny: LoadTiny) -> None:
    model = load_tiny("llama")
    reached = []
    handles = [
        module.register_forward_pre_hook(lambda *_, path=path: reached.append(path))
        for path, module in model.hf_model.named_modules()
    ]
    model.run_to(some_tokens(), None, ["blocks.0.mlp.hook_post", "blocks.1.hook_resid_mid"])
    for handle in handles:
        handle.remove()
    assert "model.layers.1.self_attn" in reached
    assert "model.layers.1.mlp" not in reached
    assert "lm_head" not in reached


def test_no_hook_is_left_behind(load_tiny: LoadTiny) -> None:
    model = load_tiny("gpt2")
    model.run_to(some_tokens(), None, ["blocks.1.mlp.hook_post"])
    with pytest.raises(InvalidInput):
        model.run_to(some_tokens(), None, ["blocks.1.mlp.hook_post", "blocks.9.hook_resid_pre"])
    hooks = [
        hook
        for module in model.hf_model.modules()
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    ]
    assert hooks == []


@every_kind
def test_padding_on_the_right_changes_nothing(load_tiny: LoadTiny, kind: str) -> None:
    model, names = load_tiny(kind), ["blocks.1.mlp.hook_post", "blocks.1.hook_resid_post"]
    tokens = some_tokens(3, 20)
    lengths = [20, 13, 1]
    padded = tokens.clone()
    for row, length in enumerate(lengths):
        padded[row, length:] = 0
    together = model.run_to(padded, None, names)
    for row, length in enumerate(lengths):
        alone = model.run_to(tokens[row : row + 1, :length], None, names)
        for name in names:
            torch.testing.assert_close(
                together[name][row, :length], alone[name][0], rtol=TOLERANCE, atol=TOLERANCE
            )


@every_kind
def test_a_neurons_direction_is_what_it_adds_to_the_mlps_output(
    load_tiny: LoadTiny, kind: str
) -> None:
    model, neuron = load_tiny(kind), 5
    place = model.hook(model.mlp_hook(1))
    out = place.module

    def more(_module: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        x = args[0].clone()
        x[..., neuron] += 1.0
        return (x, *args[1:])

    outputs = []
    handle = out.register_forward_hook(lambda _m, _a, output: outputs.append(output))
    model.run_to(some_tokens(), None, ["blocks.1.hook_resid_post"])
    before = out.register_forward_pre_hook(more)
    model.run_to(some_tokens(), None, ["blocks.1.hook_resid_post"])
    handle.remove()
    before.remove()
    added = (outputs[1] - outputs[0]).reshape(-1, model.d_model)
    directions = model.neuron_directions(1)
    assert directions.shape == (model.mlp_width(1), model.d_model)
    gain = post_norm_gain(model)
    torch.testing.assert_close(
        directions[neuron].expand_as(added), added * gain, rtol=1e-4, atol=1e-4
    )


def post_norm_gain(model: LoadedModel) -> torch.Tensor:
    """Read from the weights, where our code measures it."""
    layer = model.hf_model.get_submodule("model.layers.1") if "emma" in model.architecture else None
    if layer is not None:
        return 1 + layer.post_feedforward_layernorm.weight
    if model.architecture == "Olmo2ForCausalLM":
        return model.hf_model.model.layers[1].post_feedforward_layernorm.weight
    return torch.ones(model.d_model)


@every_kind
def test_norm_gain_and_unembedding_make_the_models_logits(load_tiny: LoadTiny, kind: str) -> None:
    model, tokens = load_tiny(kind), some_tokens()
    last = f"blocks.{model.n_layers - 1}.hook_resid_post"
    x = model.run_to(tokens, None, [last])[last]
    with torch.no_grad():
        logits = model.hf_model(tokens).logits
    config = model.hf_model.config
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = cap * torch.atanh(logits / cap)
    logits = logits * getattr(config, "logits_scaling", 1.0)
    lens = model.unembedding()
    x = x - x.mean(-1, keepdim=True) if lens.is_centred else x
    x = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    ours = x * lens.norm_weight @ lens.W_U
    rest = logits[..., : ours.shape[-1]] - ours  # the biases, the same everywhere
    torch.testing.assert_close(rest, rest[:1, :1].expand_as(rest), rtol=2e-3, atol=2e-3)


def test_a_model_says_what_it_is(load_tiny: LoadTiny, model_directory: Callable[..., Path]) -> None:
    model = load_tiny("gpt2")
    assert model.name == model_directory("gpt2").name
    assert model.revision is None
    assert (model.n_layers, model.d_model, model.d_mlp, model.d_vocab) == (3, 32, 128, 400)
    assert model.n_ctx == 64
    assert model.n_params == sum(p.numel() for p in model.hf_model.parameters())
    assert model.details["attention"] == "sdpa"
    assert model.bos_token_id == 0
    assert model.has_bos("auto") and model.has_bos("yes") and not model.has_bos("no")
    assert not load_tiny("qwen3").has_bos("auto")
    assert not any(p.requires_grad for p in model.hf_model.parameters())


def test_loading_the_same_weights_gives_the_same_hash_and_others_another(
    load_tiny: LoadTiny, model_directory: Callable[..., Path], tmp_path: Path
) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    first = load_tiny("gpt2")
    copied = Path(shutil.copytree(model_directory("gpt2"), tmp_path / "other-name"))
    assert load_model(str(copied), device="cpu").weights_hash == first.weights_hash
    tensors = load_file(copied / "model.safetensors")
    tensors["transformer.h.0.mlp.c_fc.bias"][0] += 1
    save_file(tensors, copied / "model.safetensors", metadata={"format": "pt"})
    assert load_model(str(copied), device="cpu").weights_hash != first.weights_hash


def test_hook_points_that_cannot_be_read_are_named_with_the_nearest(load_tiny: LoadTiny) -> None:
    model = load_tiny("gpt2")
    with pytest.raises(InvalidInput, match=r"blocks.7.hook_resid_pre.*layers are 0 to 2"):
        model.hook("blocks.7.hook_resid_pre")
    with pytest.raises(InvalidInput, match=r"hook_pattern is not the input or output"):
        model.hook("blocks.1.attn.hook_pattern")
    with pytest.raises(InvalidInput, match=r"hook_resid_past does not exist.*hook_resid_post"):
        model.hook("blocks.1.hook_resid_past")


def test_nothing_is_written_to_the_terminal_while_loading(
    model_directory: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    load_model(str(model_directory("gpt2")), device="cpu")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "message"),
    [("/no/such/model", "no such directory"), ("no-owner/no-model", "hub does not give it")],
)
def test_an_unknown_model_is_not_found(name: str, message: str) -> None:
    with pytest.raises(NotFound, match=message):
        load_model(name, device="cpu")


@pytest.mark.parametrize(
    ("device", "dtype"), [("tpu9", "auto"), ("cuda:99", "auto"), ("cpu", "float8"), ("mps", "auto")]
)
def test_unknown_devices_and_dtypes_are_refused(device: str, dtype: str) -> None:
    with pytest.raises(InvalidInput, match=r"--d(evice|type)"):
        load_model("/no/such/model", device=device, dtype=dtype)
