"""What was probably meant by a name that rules do not have."""

import difflib
from collections.abc import Sequence

_MEANT = {
    "number": "digit", "num": "digit", "numeric": "digit", "integer": "digit", "int": "digit",
    "capital": "upper", "capitalized": "upper", "caps": "upper", "uppercase": "upper",
    "punct": "punctuation", "symbol": "punctuation", "sign": "punctuation",
    "linebreak": "newline", "lf": "newline", "eol": "newline", "nl": "newline",
    "whitespace": "space", "blank": "space", "ws": "space",
    "word": "word_start", "wordstart": "word_start",
    "prev": "previous", "after": "previous", "follows": "previous",
    "near": "within", "window": "within",
    "starts": "prefix", "startswith": "prefix", "begins": "prefix",
    "ends": "suffix", "endswith": "suffix",
    "in": "inside", "position": "line", "column": "line",
    "or": "any", "and": "all", "re": "regex", "match": "regex",
}  # fmt: skip


def meant_by(name: str, known: Sequence[str]) -> str | None:
    """The one of the known names that `name` stands for, by its meaning or its letters."""
    wanted = name.lower()
    if (meant := _MEANT.get(wanted)) in known:
        return meant
    near = difflib.get_close_matches(wanted, known, n=1)
    return near[0] if near else None
