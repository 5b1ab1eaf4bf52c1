"""Models to measure: the one that ships, and one of GPT-2 small's shape with random weights."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from workers.sources.quiet import quiet

_DEMO = Path(__file__).parent.parent / "demo"
DEMO_MODEL = _DEMO / "model"
GPT2_SMALL = "gpt2-small"
N_LATENTS = 24_576
_RESIDUAL_STD = 0.24  # of a dimension of the random model's residual stream there


@dataclass(frozen=True, slots=True)
class Subject:
    """A model's directory, and dictionaries that fit it."""

    name: str
    directory: Path
    saes: tuple[str, ...]


@contextmanager
def open_model(name: str) -> Iterator[Subject]:
    """`demo`, `gpt2-small` (its shape, made here, gone afterwards) or a directory without SAEs."""
    if name == "demo":
        saes = tuple(sorted(str(path) for path in (_DEMO / "saes").iterdir() if path.is_dir()))
        yield Subject(name, DEMO_MODEL, saes)
    elif name == GPT2_SMALL:
        with TemporaryDirectory() as directory:
            made = Path(directory)
            yield Subject(name, _make_model(made / "model"), (str(_make_sae(made / "sae")),))
    else:
        yield Subject(Path(name).name, Path(name), ())


def _make_model(directory: Path) -> Path:
    """12 layers of 768 dimensions and 3,072 neurons; the demo's tokenizer."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    ids = {"bos_token_id": 0, "eos_token_id": 0}
    with quiet():
        GPT2LMHeadModel(GPT2Config(**ids)).save_pretrained(directory)
    for file in DEMO_MODEL.glob("tokenizer*"):
        shutil.copy(file, directory)
    return directory


def _make_sae(directory: Path) -> Path:
    """A JumpReLU SAE on the residual stream before layer 8; some 1% of its latents are active."""
    with quiet():
        from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
        from sae_lens.saes.sae import SAEMetadata

        config = JumpReLUSAEConfig(d_in=768, d_sae=N_LATENTS)
        config.metadata = SAEMetadata(model_name="gpt2", hook_name="blocks.8.hook_resid_pre")
        torch.manual_seed(0)
        sae = JumpReLUSAE(config)
        with torch.no_grad():
            sae.W_enc.copy_(torch.nn.functional.normalize(torch.randn_like(sae.W_enc), dim=0))
            sae.threshold.fill_(2.3 * _RESIDUAL_STD)
        sae.save_model(directory)
    return directory
