"""Hook points by name, and what a normalized one holds."""

import pytest
import torch

from workers.sources.hook_points import HookPoint, Normalization


@pytest.mark.parametrize(
    ("name", "layer", "place"),
    [
        ("blocks.3.mlp.hook_post", 3, "mlp.hook_post"),
        ("blocks.12.hook_resid_pre", 12, "hook_resid_pre"),
        ("hook_embed", None, "hook_embed"),
        ("ln_final.hook_normalized", None, "ln_final.hook_normalized"),
        ("blocks.x.hook_resid_pre", None, "blocks.x.hook_resid_pre"),
    ],
)
def test_a_name_is_taken_apart(name: str, layer: int | None, place: str) -> None:
    assert HookPoint.parse(name) == HookPoint(name, layer, place)


def test_what_adds_to_the_residual_stream_is_known() -> None:
    places = ("hook_resid_mid", "hook_mlp_out", "hook_attn_out", "mlp.hook_post", "mlp.hook_in")
    widths = [HookPoint.parse(f"blocks.0.{place}").is_residual_width for place in places]
    assert widths == [True, True, True, False, False]


def test_normalization_is_layer_norm_without_gain_and_bias() -> None:
    x = torch.randn(2, 3, 8) * 4 + 1
    ours = Normalization(is_centred=True, eps=1e-5)(x)
    torch.testing.assert_close(ours, torch.nn.functional.layer_norm(x, (8,)))
    ours = Normalization(is_centred=False, eps=1e-6)(x)
    torch.testing.assert_close(ours, torch.nn.functional.rms_norm(x, (8,), eps=1e-6))
