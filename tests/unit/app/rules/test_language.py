"""What classes and places are is said in one way wherever a reader meets them."""

import html
from pathlib import Path
from typing import get_args

import pytest

from app.rules.language import ABOUT_INSIDE, CLASSES, INSIDES, ClassName, InsideName

ROOT = Path(__file__).parents[4]


def test_every_class_and_place_is_explained() -> None:
    assert set(CLASSES) == set(get_args(ClassName))
    assert set(INSIDES) == set(get_args(InsideName))


@pytest.mark.parametrize("path", ["README.md", "templates/search/_syntax.html"])
def test_readers_are_told_what_each_is(path: str) -> None:
    said = " ".join(html.unescape((ROOT / path).read_text()).split())
    for name, words in CLASSES.items():
        assert f":{name}" in said and words in said, name
    for place, words in INSIDES.items():
        assert f"inside({place})" in said and words in said, place
    assert ABOUT_INSIDE in said
