"""Messages as HTML."""

import pytest

from app.templating import environment


@pytest.mark.parametrize(
    ("message", "html"),
    [
        ("Run `unitscope db upgrade`.", "Run <code>unitscope db upgrade</code>."),
        ("`a` and `<b>`", "<code>a</code> and <code>&lt;b&gt;</code>"),
        ("a ` alone <b>", "a ` alone &lt;b&gt;"),
        ("nothing & more", "nothing &amp; more"),
    ],
)
def test_what_stands_between_backticks_is_code_and_all_is_escaped(message: str, html: str) -> None:
    assert str(environment.filters["prose"](message)) == html
