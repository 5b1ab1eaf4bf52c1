"""Language models as pages and REST show them."""

from typing import Any

from pydantic import BaseModel


class ModelDetail(BaseModel):
    """A language model, with the provenance that identifies it."""

    model: str
    name: str
    revision: str | None
    weights_hash: str
    tokenizer_hash: str
    architecture: str
    n_layers: int
    d_model: int
    d_mlp: int | None
    d_vocab: int
    n_ctx: int | None
    n_params: int
    n_sources: int
    n_units: int
    corpora: list[str]
    details: dict[str, Any]
    page: str
