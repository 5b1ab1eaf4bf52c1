"""Layers as people name them."""

import pytest

from app.errors import InvalidInput
from workers.sources.unit_sources import parse_layers


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("all", [0, 1, 2, 3, 4, 5]),
        ("none", []),
        ("0", [0]),
        ("0,3-5", [0, 3, 4, 5]),
        ("3-5, 0 ,4", [0, 3, 4, 5]),
        ("2-2", [2]),
    ],
)
def test_layers_come_ascending_and_once(text: str, layers: list[int]) -> None:
    assert parse_layers(text, 6) == layers


@pytest.mark.parametrize("text", ["", "a", "1,,2", "5-3", "-1", "1-", "0x1", "1.5", "All", "²"])
def test_what_names_no_layer_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"wanted all, none or layers like 0,3-5"):
        parse_layers(text, 6)


@pytest.mark.parametrize("text", ["6", "0-6", "99999999999"])
def test_layers_that_the_model_lacks_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"the model has 6, 0 to 5"):
        parse_layers(text, 6)
