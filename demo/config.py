"""Every setting of the shipped model and dictionaries, once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).parent
MODEL_FOLDER = FOLDER / "model"
DICTIONARY_FOLDER = FOLDER / "saes"
METRICS_FILE = FOLDER / "metrics.json"
CARD_FILE = FOLDER / "README.md"

SEED = 20
END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0
VOCABULARY_SIZE = 4096
CONTEXT_LENGTH = 256


@dataclass(frozen=True)
class ModelSettings:
    """Shape and schedule of the language model."""

    n_layers: int = 4
    n_heads: int = 4
    d_model: int = 256
    batch_size: int = 32
    n_steps: int = 3200
    n_warmup_steps: int = 50
    matrix_lr: float = 0.01
    embedding_lr: float = 5e-3
    weight_decay: float = 0.05
    n_steps_between_saves: int = 200


@dataclass(frozen=True)
class DictionarySettings:
    """One SAE or transcoder: where it reads, what it writes, how it is trained.

    `kind` is the training architecture. Batch top-k dictionaries are saved by SAELens as JumpReLU
    ones, with the threshold that keeps `n_active` latents on average.
    """

    slug: str
    kind: Literal["batchtopk", "topk", "transcoder"]
    hook_name: str
    hook_name_out: str
    n_active: int
    n_latents: int = 2048
    n_samples: int = 2_500_000
    batch_size: int = 4096
    lr: float = 1e-3


DICTIONARIES = (
    DictionarySettings(
        slug="res-2",
        kind="batchtopk",
        hook_name="blocks.2.hook_resid_post",
        hook_name_out="blocks.2.hook_resid_post",
        n_active=32,
    ),
    DictionarySettings(
        slug="mlp-out-1",
        kind="topk",
        hook_name="blocks.1.hook_mlp_out",
        hook_name_out="blocks.1.hook_mlp_out",
        n_active=32,
    ),
    DictionarySettings(
        slug="transcoder-2",
        kind="transcoder",
        hook_name="blocks.2.mlp.hook_in",
        hook_name_out="blocks.2.hook_mlp_out",
        n_active=32,
    ),
)
