"""Cursors: what they carry comes back, and whatever was not made for a listing is refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import cursors
from app.errors import InvalidInput

LISTING = "units|1|density|desc"
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(value=FLOATS, index=st.integers(0, 2**63 - 1), slug=st.text(max_size=50))
def test_a_key_comes_back_exactly(value: float, index: int, slug: str) -> None:
    key = (value, index, slug)
    assert cursors.decode(LISTING, cursors.encode(LISTING, key), (float, int, str)) == key


def test_a_cursor_of_another_listing_is_refused() -> None:
    cursor = cursors.encode(LISTING, (0.5, 3))
    with pytest.raises(InvalidInput, match="does not belong to this listing"):
        cursors.decode("units|1|density|asc", cursor, (float, int))


@given(place=st.integers(0, 2**63 - 1), letter=st.sampled_from("AZaz09-_"))
def test_a_cursor_with_one_letter_changed_is_refused(place: int, letter: str) -> None:
    cursor = cursors.encode(LISTING, (0.5, 3))
    place %= len(cursor)
    altered = cursor[:place] + letter + cursor[place + 1 :]
    if altered != cursor:
        with pytest.raises(InvalidInput, match="cursor="):
            cursors.decode(LISTING, altered, (float, int))


@given(cursor=st.text() | st.text(alphabet="ABCabc012-_="))
def test_any_other_text_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="Start again without a cursor"):
        cursors.decode(LISTING, cursor, (int,))


@pytest.mark.parametrize("payload", [b"{}", b"3", b"[]", b"[true]", b'["x"]', b"[1,2]"])
def test_a_key_of_other_types_is_refused(payload: bytes) -> None:
    raw = cursors._digest(LISTING, payload) + payload
    cursor = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    with pytest.raises(InvalidInput):
        cursors.decode(LISTING, cursor, (int, float))


def test_a_long_cursor_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidInput) as refused:
        cursors.decode(LISTING, "A" * 5000, (int,))
    assert len(refused.value.message) < 300


@pytest.mark.parametrize("key", [(2**63,), (True,), (1.5,), ("1",)])
def test_what_no_row_could_have_as_its_key_is_refused(key: tuple[int]) -> None:
    cursor = cursors.encode("listing", key)
    with pytest.raises(InvalidInput):
        cursors.decode("listing", cursor, (int,))
