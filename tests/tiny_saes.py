"""An SAE directory as SAELens writes it, small enough to make in a test."""

from pathlib import Path

import torch

from workers.sources.quiet import quiet


def make_sae(directory: Path, *, seed: int = 0, d_in: int = 32, d_sae: int = 40) -> Path:
    """A ReLU SAE with weights drawn from `seed`, on the residual stream after layer 1."""
    with quiet():
        from sae_lens import StandardSAE, StandardSAEConfig
        from sae_lens.saes.sae import SAEMetadata

        config = StandardSAEConfig(d_in=d_in, d_sae=d_sae)
        config.metadata = SAEMetadata(model_name="tiny", hook_name="blocks.1.hook_resid_post")
        sae = StandardSAE(config)
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in sae.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.3)
            sae.b_enc -= 1.0  # most latents are off most of the time
        sae.save_model(directory)
    return directory
