"""SAEs that SAELens writes, as sources: every architecture, and everything that may not fit."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.errors import AppError, InvalidInput, NotFound
from workers.sources.language_models import LoadedModel
from workers.sources.quiet import quiet
from workers.sources.unit_sources import neuron_source, sae_source

with quiet():  # importing it warns of its own deprecations
    from sae_lens import SAE
    from sae_lens.registry import get_sae_class
    from sae_lens.saes.sae import SAEMetadata

LoadTiny = Callable[[str], LoadedModel]
D_SAE = 40
ELEMENTWISE = {
    "standard",
    "gated",
    "jumprelu",
    "transcoder",
    "skip_transcoder",
    "jumprelu_transcoder",
    "jumprelu_skip_transcoder",
}
RESIDUAL, MLP_IN, MLP_OUT = (
    "blocks.1.hook_resid_post",
    "blocks.2.mlp.hook_in",
    "blocks.2.hook_mlp_out",
)
EXTRA: dict[str, dict[str, Any]] = {
    "standard": {},
    "gated": {},
    "jumprelu": {},
    "topk": {"k": 5},
    "abstopk": {"k": 5},
    "matching_pursuit": {"max_iterations": 4},
    "transcoder": {"d_out": 32, "apply_b_dec_to_input": False},
    "skip_transcoder": {"d_out": 32, "apply_b_dec_to_input": False},
    "jumprelu_transcoder": {"d_out": 32, "apply_b_dec_to_input": False},
    "jumprelu_skip_transcoder": {"d_out": 32, "apply_b_dec_to_input": False},
    "temporal": {"n_heads": 2, "bottleneck_factor": 2, "kval_topk": 5},
}


def save_sae(
    directory: Path, architecture: str = "standard", *, d_in: int = 32, **metadata: Any
) -> Path:
    """An SAE with random weights, written by SAELens itself."""
    with quiet():
        sae_class, config_class = get_sae_class(architecture)
        given = {"model_name": "tiny", "hook_name": RESIDUAL} | metadata
        config = config_class(d_in=d_in, d_sae=D_SAE, **EXTRA[architecture])
        config.metadata = SAEMetadata(**{k: v for k, v in given.items() if v is not None})
        torch.manual_seed(0)
        sae = sae_class(config)
        with torch.no_grad():
            for parameter in sae.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.3)
        sae.save_model(directory)
    return directory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "My SAE"


@pytest.fixture
def model(load_tiny: LoadTiny) -> LoadedModel:
    return load_tiny("gpt2")


def fails_with(
    directory: Path | str, model: LoadedModel, pattern: str, kind: type[AppError] = InvalidInput
) -> None:
    with pytest.raises(kind, match=pattern):
        sae_source(str(directory), model)


@pytest.mark.parametrize("architecture", EXTRA)
def test_latents_are_what_saelens_encodes(
    model: LoadedModel, directory: Path, architecture: str
) -> None:
    is_transcoder = "transcoder" in architecture
    places = {"hook_name": MLP_IN, "hook_name_out": MLP_OUT} if is_transcoder else {}
    source = sae_source(str(save_sae(directory, architecture, **places)), model)
    assert source.slug == "my-sae"
    assert source.kind == ("transcoder_latent" if is_transcoder else "sae_latent")
    assert source.layer == (2 if is_transcoder else 1)
    assert source.n_units == D_SAE
    assert source.hook_point_out == (MLP_OUT if is_transcoder else RESIDUAL)
    tokens = torch.randint(0, 372, (2, 9))
    x = model.run_to(tokens, None, [source.hook_point])[source.hook_point]
    theirs = SAE.load_from_disk(directory).encode(x)
    assert torch.equal(source.read(x), theirs.to_dense() if theirs.is_sparse else theirs)
    assert source.read(x).shape == (2, 9, D_SAE)
    blocks = list(source.read_blocks(x, 7))
    together = torch.cat([block for _, block in blocks], dim=2)
    torch.testing.assert_close(together, source.read(x), rtol=1e-6, atol=1e-5)
    assert len(blocks) == (6 if source.is_elementwise else 1)
    assert source.is_elementwise == (architecture in ELEMENTWISE)


@pytest.mark.parametrize("architecture", EXTRA)
def test_only_an_sae_that_says_so_has_negative_latents(
    model: LoadedModel, directory: Path, architecture: str
) -> None:
    is_transcoder = "transcoder" in architecture
    places = {"hook_name": MLP_IN, "hook_name_out": MLP_OUT} if is_transcoder else {}
    source = sae_source(str(save_sae(directory, architecture, **places)), model)
    generator = torch.Generator().manual_seed(0)
    least = source.read(10 * torch.randn((8, 64, 32), generator=generator)).min()
    assert bool(least < 0) == source.is_signed


@pytest.mark.parametrize("rescale", [False, True])
def test_directions_are_what_a_latent_adds_to_the_reconstruction(
    model: LoadedModel, directory: Path, rescale: bool
) -> None:
    save_sae(directory, "topk")
    config = json.loads((directory / "cfg.json").read_text())
    config["rescale_acts_by_decoder_norm"] = rescale
    (directory / "cfg.json").write_text(json.dumps(config))
    source = sae_source(str(directory), model)
    one_each = torch.eye(D_SAE)
    with torch.no_grad():
        added = source.sae.decode(one_each) - source.sae.decode(0 * one_each)
    torch.testing.assert_close(source.output_directions(), added, rtol=1e-5, atol=1e-5)


def test_an_sae_inside_the_mlp_writes_through_the_neurons(
    model: LoadedModel, directory: Path
) -> None:
    save_sae(directory, d_in=128, hook_name="blocks.0.mlp.hook_post")
    source = sae_source(str(directory), model)
    through = source.sae.W_dec.detach() @ model.hf_model.transformer.h[0].mlp.c_proj.weight
    torch.testing.assert_close(source.output_directions(), through)
    torch.testing.assert_close(
        neuron_source(model, 0).output_directions(),
        model.hf_model.transformer.h[0].mlp.c_proj.weight,
    )


def test_an_sae_of_attention_heads_writes_through_their_output_matrix(
    model: LoadedModel, directory: Path
) -> None:
    save_sae(directory, hook_name="blocks.0.attn.hook_z")
    config = json.loads((directory / "cfg.json").read_text()) | {"reshape_activations": "hook_z"}
    (directory / "cfg.json").write_text(json.dumps(config))
    source = sae_source(str(directory), model)
    through = source.sae.W_dec.detach() @ model.hf_model.transformer.h[0].attn.c_proj.weight
    torch.testing.assert_close(source.output_directions(), through)
    x = model.run_to(torch.zeros((1, 3), dtype=torch.long), None, [source.hook_point])
    assert source.read(x[source.hook_point]).shape == (1, 3, D_SAE)


def test_an_sae_of_a_centred_residual_stream_reads_it_centred(
    model: LoadedModel, directory: Path
) -> None:
    save_sae(directory, model_from_pretrained_kwargs={"center_writing_weights": True})
    source = sae_source(str(directory), model)
    x = torch.randn(1, 4, 32)
    torch.testing.assert_close(source.read(x), source.read(x + 3.0))
    assert source.details["is_centred"]


def test_the_hash_is_of_weights_and_place_not_of_the_name(
    model: LoadedModel, directory: Path, tmp_path: Path
) -> None:
    first = sae_source(str(save_sae(directory)), model).weights_hash
    shutil.copytree(directory, tmp_path / "copy")
    assert sae_source(str(tmp_path / "copy"), model).weights_hash == first
    moved = save_sae(tmp_path / "moved", hook_name="blocks.0.hook_resid_post")
    assert sae_source(str(moved), model).weights_hash != first


def test_a_given_name_is_the_slug(model: LoadedModel, directory: Path) -> None:
    save_sae(directory)
    assert sae_source(str(directory), model, "res-1").slug == "res-1"
    with pytest.raises(InvalidInput, match=r"--sae-name 'Res 1'.*for example 'res-1'"):
        sae_source(str(directory), model, "Res 1")
    with pytest.raises(InvalidInput, match="belongs to a layer's MLP neurons"):
        sae_source(str(directory), model, "mlp-3")


def test_an_unknown_directory_is_not_found(model: LoadedModel) -> None:
    fails_with("/no/such/sae", model, "wanted a directory that SAELens writes", NotFound)


@pytest.mark.parametrize("spec", ["saelens:", "saelens:release", "saelens::id"])
def test_a_release_needs_an_id(model: LoadedModel, spec: str) -> None:
    fails_with(spec, model, "wanted saelens:RELEASE:ID")


def test_an_unknown_release_or_id_is_not_found(model: LoadedModel) -> None:
    fails_with("saelens:no-such-release:some/id", model, "no-such-release not found", NotFound)
    fails_with("saelens:gpt2-small-res-jb:no-such-id", model, "no-such-id not found", NotFound)


def test_a_pickle_is_refused_and_never_read(
    model: LoadedModel, directory: Path, tmp_path: Path
) -> None:
    save_sae(directory)
    (directory / "sae_weights.safetensors").unlink()
    (directory / "sae_weights.pt").write_bytes(pickle.dumps(Path))
    fails_with(directory, model, r"weights in sae_weights\.pt, a pickle.*refused")


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_a_directory_that_lacks_a_file_names_it(
    model: LoadedModel, directory: Path, name: str
) -> None:
    save_sae(directory)
    (directory / name).unlink()
    fails_with(directory, model, f"not an SAE that SAELens wrote: it lacks {name}")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cfg.json", b"{"),
        ("cfg.json", b"[]"),
        ("cfg.json", b'{"architecture": "no-such", "d_in": 32, "d_sae": 40}'),
        ("sae_weights.safetensors", b"\0" * 50),
    ],
)
def test_broken_files_make_no_sae(
    model: LoadedModel, directory: Path, name: str, content: bytes
) -> None:
    save_sae(directory)
    (directory / name).write_bytes(content)
    fails_with(directory, model, "cannot be loaded: its configuration and weights do not make")


def test_weights_of_another_size_than_the_configuration_make_no_sae(
    model: LoadedModel, directory: Path
) -> None:
    save_sae(directory)
    config = json.loads((directory / "cfg.json").read_text()) | {"d_sae": 41}
    (directory / "cfg.json").write_text(json.dumps(config))
    fails_with(directory, model, "cannot be loaded")


@pytest.mark.parametrize("name", ["W_enc", "b_dec"])
def test_weights_that_are_no_numbers_are_refused(
    model: LoadedModel, directory: Path, name: str
) -> None:
    save_sae(directory)
    weights = load_file(directory / "sae_weights.safetensors")
    weights[name].view(-1)[3] = torch.inf
    save_file(weights, directory / "sae_weights.safetensors")
    fails_with(directory, model, f"{name} holds a NaN or an infinity")


@pytest.mark.parametrize(
    ("settings", "pattern"),
    [
        ({"d_in": 64}, r"reads 64 dimensions at blocks\.1\.hook_resid_post.*has 32.*on tiny"),
        ({"hook_name": "blocks.11.hook_resid_pre"}, r"does not fit.*layers are 0 to 2"),
        ({"hook_name": "blocks.1.hook_nowhere"}, r"does not fit.*hook_nowhere does not exist"),
        ({"hook_name": "blocks.1.attn.hook_pattern"}, r"is not the input or output of a module"),
        ({"hook_name": None}, r"has no hook_name.*Add it, for example"),
        ({"hook_head_index": 2}, r"reads one attention head \(2\)"),
        ({"d_in": 128, "hook_name": "blocks.1.mlp.hook_pre"}, r"not added to the residual stream"),
    ],
)
def test_an_sae_that_does_not_fit_the_model_is_refused(
    model: LoadedModel, directory: Path, settings: dict[str, Any], pattern: str
) -> None:
    fails_with(save_sae(directory, **settings), model, pattern)


@pytest.mark.parametrize(
    ("settings", "pattern"),
    [
        ({"hook_name_out": None}, "does not say where it writes"),
        ({"hook_name_out": "blocks.5.hook_mlp_out"}, "layers are 0 to 2"),
        ({"hook_name_out": "blocks.2.mlp.hook_post"}, r"writes 32 dimensions.*has 128"),
    ],
)
def test_a_transcoder_that_does_not_fit_the_model_is_refused(
    model: LoadedModel, directory: Path, settings: dict[str, Any], pattern: str
) -> None:
    fails_with(save_sae(directory, "transcoder", hook_name=MLP_IN, **settings), model, pattern)


def test_neurons_are_the_activations_at_their_hook_point(model: LoadedModel) -> None:
    source = neuron_source(model, 2)
    assert (source.slug, source.kind, source.layer, source.n_units) == ("mlp-2", "neuron", 2, 128)
    assert source.hook_point == "blocks.2.mlp.hook_post"
    x = torch.randn(1, 2, 128)
    assert source.read(x) is x


def test_a_release_is_loaded_by_saelens_and_named_after_its_id(
    model: LoadedModel, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_sae(directory)
    asked = []

    def from_pretrained(release: str, sae_id: str, device: str) -> Any:
        asked.append((release, sae_id))
        return SAE.load_from_disk(directory, device=device)

    monkeypatch.setattr(SAE, "from_pretrained", from_pretrained)
    source = sae_source("saelens:owner/release:layer_1/width_16k/average_l0_71", model)
    assert asked == [("owner/release", "layer_1/width_16k/average_l0_71")]
    assert source.slug == "layer_1-width_16k-average_l0_71"
    assert source.details["release"] == "owner/release:layer_1/width_16k/average_l0_71"
