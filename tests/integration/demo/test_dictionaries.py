"""Saved dictionaries compute on raw activations what training computed on scaled ones."""

import warnings
from dataclasses import replace
from functools import partial

import pytest
import torch

from demo.config import DICTIONARIES

with warnings.catch_warnings():  # SAELens imports a module that TransformerLens has deprecated
    warnings.simplefilter("ignore")
    from sae_lens import SAE

    from demo.dictionaries import Scaling, _undo_scaling, _untrained, save_dictionary

D_MODEL = 6


@pytest.mark.parametrize("settings", DICTIONARIES, ids=lambda settings: settings.slug)
@torch.no_grad()
def test_scaling_is_folded_into_the_saved_weights(settings, tmp_path) -> None:
    torch.manual_seed(0)
    small = replace(settings, n_latents=16, n_active=3)
    dictionary = _untrained(small, D_MODEL, "cpu")
    for parameter in dictionary.parameters():
        parameter.copy_(torch.randn_like(parameter))
    if settings.kind != "topk":
        dictionary.topk_threshold.fill_(0.7)
    is_transcoder = settings.kind == "transcoder"
    scaling = Scaling(3.0, 0.25 if is_transcoder else 3.0, *torch.randn(2, D_MODEL))

    inputs = torch.randn(50, D_MODEL)
    seen = (inputs - scaling.mean_in if is_transcoder else inputs) * scaling.scale_in
    _, hidden = dictionary.encode_with_hidden_pre(seen)
    if settings.kind == "topk":
        latents = dictionary.activation_fn(hidden)
    else:
        latents = hidden.relu() * (hidden > 0.7)
    expected = dictionary.decode(latents) / scaling.scale_out

    _undo_scaling(dictionary, scaling)
    save_dictionary(dictionary, tmp_path)
    loaded = SAE.load_from_disk(tmp_path)
    close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-4)
    close(loaded.encode(inputs), latents / scaling.scale_out)
    close(loaded.decode(loaded.encode(inputs)), expected)
    torch.testing.assert_close(loaded.W_dec.norm(dim=1), torch.ones(16))
