"""An SAE directory as SAELens writes it, small enough to make in a test."""

from pathlib import Path

import torch

from workers.sources.quiet import quiet


def make_sae(
    directory: Path, *, seed: int = 0, d_in: int = 32, d_sae: int = 40, normalize: str = "none"
) -> Path:
    """A ReLU SAE with weights drawn from `seed`, on the residual stream after layer 1.

    `normalize`: what SAELens does to its input, and undoes behind it.
    """
    with quiet():
        from sae_lens import StandardSAE, StandardSAEConfig
        from sae_lens.saes.sae import SAEMetadata

        config = StandardSAEConfig(d_in=d_in, d_sae=d_sae, normalize_activations=normalize)
        config.metadata = SAEMetadata(model_name="tiny", hook_name="blocks.1.hook_resid_post")
        sae = StandardSAE(config)
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in sae.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.3)
            sae.b_enc -= 1.0  # most latents are off most of the time
        sae.save_model(directory)
    return directory


def make_transcoder(directory: Path, *, seed: int = 0, d: int = 32, d_sae: int = 40) -> Path:
    """A transcoder with weights drawn from `seed`, over layer 2's MLP."""
    with quiet():
        from sae_lens.registry import get_sae_class
        from sae_lens.saes.sae import SAEMetadata

        transcoder_class, config_class = get_sae_class("transcoder")
        config = config_class(d_in=d, d_sae=d_sae, d_out=d, apply_b_dec_to_input=False)
        config.metadata = SAEMetadata(
            model_name="tiny",
            hook_name="blocks.2.mlp.hook_in",
            hook_name_out="blocks.2.hook_mlp_out",
        )
        transcoder = transcoder_class(config)
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in transcoder.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.3)
        transcoder.save_model(directory)
    return directory
