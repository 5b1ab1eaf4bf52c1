"""Activations are read and replaced where TransformerLens says, and never at BOS."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from demo.activations import edited, read, up_to_layer
from demo.config import END_OF_TEXT_ID

ROWS = torch.tensor([[0, 3, 4, 5], [0, 6, 0, 7]])
COUNTED = ROWS != END_OF_TEXT_ID


@pytest.fixture
def model() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=11, n_positions=8, n_embd=8, n_layer=3, n_head=2)
    config.bos_token_id = config.eos_token_id = END_OF_TEXT_ID
    return GPT2LMHeadModel(config).eval()


@torch.no_grad()
def test_residual_stream_is_the_block_output_without_bos(model) -> None:
    found = read(model, ROWS, ["blocks.1.hook_resid_post"])["blocks.1.hook_resid_post"]
    hidden = model(ROWS, output_hidden_states=True).hidden_states[2]
    torch.testing.assert_close(found, hidden[COUNTED])


@torch.no_grad()
def test_mlp_output_is_the_mlp_of_its_input(model) -> None:
    names = ["blocks.2.mlp.hook_in", "blocks.2.hook_mlp_out"]
    found = read(model, ROWS, names)
    expected = model.transformer.h[2].mlp(found[names[0]])
    torch.testing.assert_close(found[names[1]], expected)


def test_cutting_the_model_changes_nothing_below_the_cut(model) -> None:
    names = ["blocks.1.hook_mlp_out"]
    whole, cut = read(model, ROWS, names), read(up_to_layer(model, 1), ROWS, names)
    torch.testing.assert_close(whole[names[0]], cut[names[0]])
    assert len(model.transformer.h) == 3


@torch.no_grad()
def test_edit_lasts_for_the_block_and_no_longer(model) -> None:
    before = model(ROWS).logits
    with edited(model, "blocks.1.hook_resid_post", torch.zeros_like):
        during = model(ROWS).logits
    assert not torch.allclose(before, during)
    torch.testing.assert_close(model(ROWS).logits, before)


def test_unknown_hook_point_is_named(model) -> None:
    with pytest.raises(ValueError, match=r"blocks\.1\.attn\.hook_z"):
        read(model, ROWS, ["blocks.1.attn.hook_z"])
