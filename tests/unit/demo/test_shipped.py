"""What ships is whole, small enough, and as good as its model card says."""

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from tokenizers import Tokenizer

from demo.config import (
    CARD_FILE,
    DICTIONARIES,
    DICTIONARY_FOLDER,
    END_OF_TEXT,
    END_OF_TEXT_ID,
    METRICS_FILE,
    MODEL_FOLDER,
    VOCABULARY_SIZE,
)

LIMIT_BYTES = 24_000_000
LIMIT_LOSS = 2.8
LIMIT_DEAD_SHARE = 0.10
LIMITS_L0 = (10, 60)


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(MODEL_FOLDER / "tokenizer.json"))


@cache
def figures() -> dict[str, Any]:
    return json.loads(METRICS_FILE.read_text())


@given(st.text())
@settings(deadline=None)
def test_any_text_survives_the_tokenizer(text: str) -> None:
    ids = tokenizer().encode(text, add_special_tokens=False).ids
    assert tokenizer().decode(ids, skip_special_tokens=False) == text


@given(st.text())
@settings(deadline=None)
def test_offsets_cover_the_text_in_order(text: str) -> None:
    offsets = tokenizer().encode(text, add_special_tokens=False).offsets
    covered = {at for start, end in offsets for at in range(start, end)}
    assert covered == set(range(len(text)))
    assert offsets == sorted(offsets)


def test_vocabulary_has_the_promised_size_and_one_special_token() -> None:
    assert tokenizer().get_vocab_size() == VOCABULARY_SIZE
    assert tokenizer().token_to_id(END_OF_TEXT) == END_OF_TEXT_ID


def test_line_breaks_indents_and_digits_are_tokens_of_their_own() -> None:
    tokens = tokenizer().encode("x = 12\n        return", add_special_tokens=False)
    pieces = ["x", " =", " 1", "2", "\n", " " * 7, " return"]
    assert [tokenizer().decode([i]) for i in tokens.ids] == pieces


def test_everything_shipped_is_small_enough() -> None:
    folders = [MODEL_FOLDER, DICTIONARY_FOLDER]
    sizes = [path.stat().st_size for folder in folders for path in folder.rglob("*")]
    assert sum(sizes) <= LIMIT_BYTES


def test_held_out_loss_is_as_promised_and_below_every_baseline() -> None:
    loss = figures()["model"]["loss"]
    assert loss <= LIMIT_LOSS
    assert loss < min(figures()["baselines"].values())


def test_figures_cover_every_dictionary() -> None:
    assert [d["slug"] for d in figures()["dictionaries"]] == [d.slug for d in DICTIONARIES]


@pytest.mark.parametrize("slug", [settings.slug for settings in DICTIONARIES])
def test_dictionary_is_sparse_and_alive(slug: str) -> None:
    (found,) = (d for d in figures()["dictionaries"] if d["slug"] == slug)
    assert LIMITS_L0[0] <= found["l0"] <= LIMITS_L0[1]
    assert found["dead_share"] < LIMIT_DEAD_SHARE
    assert found["n_latents"] >= 2048


@pytest.mark.parametrize("settings", DICTIONARIES, ids=lambda s: s.slug)
def test_dictionary_directory_is_as_its_settings_say(settings) -> None:
    folder = DICTIONARY_FOLDER / settings.slug
    config = json.loads((folder / "cfg.json").read_text())
    assert config["metadata"]["hook_name"] == settings.hook_name
    with safe_open(folder / "sae_weights.safetensors", "numpy") as weights:
        assert weights.get_slice("W_enc").get_shape() == [config["d_in"], settings.n_latents]
        assert weights.get_slice("W_dec").get_shape()[0] == settings.n_latents


def test_model_card_states_the_figures() -> None:
    card = CARD_FILE.read_text()
    assert f"**{figures()['model']['loss']:.3f}**" in card
    assert all(f"`{settings.slug}`" in card for settings in DICTIONARIES)
