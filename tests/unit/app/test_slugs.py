"""Slugs: what names become in addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import slugs


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Qwen/Qwen3-0.6B", "qwen3-0.6b"),
        ("/models/My Model/", "my-model"),
        ("C:\\models\\GPT 2", "gpt-2"),
        ("Café_1", "cafe_1"),
        ("..hidden", "hidden"),
        ("search", "search-model"),
        ("漢字", "model"),
        ("", "model"),
    ],
)
def test_a_name_becomes_a_slug_that_resembles_it(name: str, slug: str) -> None:
    assert slugs.slugify(name, fallback="model") == slug


@given(name=st.text())
def test_every_name_becomes_a_slug_that_is_no_reserved_word(name: str) -> None:
    slug = slugs.slugify(name, fallback="model")
    assert slugs.is_slug(slug)
    assert slug not in slugs.RESERVED


@pytest.mark.parametrize("text", ["", "-a", ".a", "A", "a b", "a/b", "a\n", "é", "a" * 101, "a\0"])
def test_other_texts_are_no_slugs(text: str) -> None:
    assert not slugs.is_slug(text)
