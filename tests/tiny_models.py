"""Model directories in Hugging Face format, small enough to make in a test."""

import json
from pathlib import Path
from typing import Any

import torch

from tests import tiny_tokenizers

_WIDE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
_GPT = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": _GPT,
    "llama": _WIDE,
    "qwen3": {**_WIDE, "head_dim": 8},
    "gemma2": {**_WIDE, "head_dim": 8, "attn_logit_softcapping": 0.5},
    "gemma3_text": {**_WIDE, "head_dim": 8},
    "gpt_neox": {**_WIDE, "num_key_value_heads": 4},
    "olmo2": _WIDE,
    "phi": _WIDE,
    "opt": {**_WIDE, "ffn_dim": 48, "word_embed_proj_dim": 32, "pad_token_id": 0},
    "bloom": {"hidden_size": 32, "n_layer": 3, "n_head": 4},
    "granite": _WIDE,
}


def make_model(kind: str, directory: Path, *, seed: int = 0) -> Path:
    """A model of that type with weights drawn from `seed`, and a byte-level tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = tiny_tokenizers.byte_level()
    config = AutoConfig.for_model(kind, **CONFIGS[kind])
    config.vocab_size, config.bos_token_id, config.eos_token_id = 400, 0, 0
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.3 if parameter.dim() > 1 else 0.5
            near_one = "norm" in name.lower() or "ln_" in name or "layernorm" in name
            parameter.copy_(torch.randn_like(parameter) * scale + float(near_one))
    model.save_pretrained(directory)
    save_tokenizer(tokenizer, directory)
    return directory


def save_tokenizer(tokenizer: Any, directory: Path) -> None:
    """tokenizer.json and its configuration."""
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": tiny_tokenizers.BOS}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
