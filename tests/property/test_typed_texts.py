import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.typed_text import clean
from tests.property.texts import texts


@given(texts | st.text(st.characters(), max_size=50), st.booleans())
def test_what_is_kept_is_clean_and_stays_as_it_is(text: str, is_one_line: bool) -> None:
    try:
        kept = clean(text, "text", 200, is_one_line=is_one_line)
    except InvalidInput as error:
        error.message.encode()
        return
    kept.encode()
    assert kept == kept.strip()
    assert unicodedata.is_normalized("NFC", kept)
    assert all(unicodedata.category(each) != "Cc" or each == "\n" for each in kept)
    assert not (is_one_line and "\n" in kept)
    assert 0 < len(kept) <= 200
    assert clean(kept, "text", 200, is_one_line=is_one_line) == kept
