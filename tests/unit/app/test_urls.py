"""Addresses: encoded whole, and saying only what differs from the default."""

from urllib.parse import parse_qs, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from app import urls


def test_what_is_not_given_is_not_said() -> None:
    assert urls.unit("gpt2", "mlp-2", 17) == "/gpt2/mlp-2/17"
    assert urls.unit("gpt2", "mlp-2", 17, corpus="pile", embed=True) == (
        "/gpt2/mlp-2/17?corpus=pile&embed=1"
    )
    assert urls.api_units("gpt2", "mlp-2", alive=True, q=None) == (
        "/api/v1/models/gpt2/sources/mlp-2/units?alive=true"
    )


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_in_a_query_comes_back(text: str) -> None:
    address = urls.search(q=text)
    assert parse_qs(urlsplit(address).query, keep_blank_values=True) == {"q": [text]}


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_in_a_path_stays_one_part_of_it(text: str) -> None:
    assert urls.source("a", text).count("/") == 2
