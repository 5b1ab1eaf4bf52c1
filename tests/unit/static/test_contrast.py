"""Text can be read on every ground, in both themes: WCAG AA, on the style sheet's own colours."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

BASE = Path(__file__).resolve().parents[3] / "static/css/base.css"
COLOUR = re.compile(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)")
TEXT, GRAPHIC = 4.5, 3.0
Rgb = tuple[float, float, float]


def palette(theme: str) -> dict[str, Rgb]:
    found = COLOUR.findall(BASE.read_text())
    return {name: rgb(light if theme == "light" else dark) for name, light, dark in found}


def rgb(code: str) -> Rgb:
    red, green, blue = (int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def mix(over: Rgb, ground: Rgb, share: float) -> Rgb:
    red, green, blue = (o * share + g * (1 - share) for o, g in zip(over, ground, strict=True))
    return red, green, blue


def luminance(colour: Rgb) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Rgb, other: Rgb) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("hue", ["positive", "negative"])
def test_tokens_can_be_read_at_every_activation(theme: str, hue: str) -> None:
    colours = palette(theme)
    for percent in range(101):
        ground = mix(colours[hue], colours["paper"], percent / 100)
        assert contrast(colours["ink"], ground) >= TEXT


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("hue", ["positive", "negative"])
def test_more_activation_stands_out_more(theme: str, hue: str) -> None:
    colours = palette(theme)
    shades = [mix(colours[hue], colours["paper"], i / 10) for i in range(11)]
    seen = [contrast(shade, colours["paper"]) for shade in shades]
    assert all(more > less for less, more in pairwise(seen))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_marks_stand_out_from_their_grounds(theme: str) -> None:
    colours = palette(theme)
    for name in ("ink", "quiet", "accent"):
        for ground in ("paper", "wash"):
            assert contrast(colours[name], colours[ground]) >= TEXT, (name, ground)
    for name in ("line-strong", "bar", "bar-negative"):
        assert contrast(colours[name], colours["paper"]) >= GRAPHIC, name
