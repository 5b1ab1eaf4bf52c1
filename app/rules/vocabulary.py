"""What rules ask of a token alone, as one flag for every token of a vocabulary.

`Token.text` is what rules see: bytes that are no whole character are escapes there (`\\xe2`), and
are of no class. Special tokens stand for no text: they are of no class, have no prefix and
no suffix, and can only be named.

  digit        but for blanks around it, all decimal digits
  upper        its first character that is no blank is a capital letter
  punctuation  but for blanks around it, all punctuation or symbols
  newline      it holds a line feed or a carriage return
  space        blanks only, newlines among them
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, UInt8

_ESCAPES = re.compile(r"(?:\\x[0-9a-f]{2})+")
_BEGINS_INSIDE = re.compile(r"(?:\\x[89ab][0-9a-f])+")
_CUT = re.compile(
    r"\\x(?:(?:c[2-9a-f]|d[0-9a-f])|e[0-9a-f](?:\\x[89ab][0-9a-f])?"
    r"|f[0-4](?:\\x[89ab][0-9a-f]){0,2})\Z"
)
_NO_CHARACTER = "\ufffd"


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Tokens by their ids: their texts, and which are special."""

    texts: Sequence[str]
    is_special: Bool[np.ndarray, " vocab"]

    @cached_property
    def ids_by_text(self) -> dict[str, list[int]]:
        """Several tokens may have one text."""
        found: dict[str, list[int]] = {}
        for token_id, text in enumerate(self.texts):
            found.setdefault(text, []).append(token_id)
        return found

    @cached_property
    def ids_by_folded(self) -> dict[str, list[int]]:
        """By the text in any case, without blanks around it."""
        found: dict[str, list[int]] = {}
        for token_id, text in enumerate(self.texts):
            found.setdefault(folded(text), []).append(token_id)
        return found

    def are(self, texts: Sequence[str]) -> Bool[np.ndarray, " vocab"]:
        """Tokens whose text is one of these."""
        flags = np.zeros(len(self.texts), dtype=bool)
        flags[[i for text in texts for i in self.ids_by_text.get(text, ())]] = True
        return flags

    def begin_with(self, prefix: str) -> Bool[np.ndarray, " vocab"]:
        """Tokens whose text begins so."""
        import pyarrow.compute as pc

        return self._flags(pc.starts_with(self._arrow, prefix))

    def end_with(self, suffix: str) -> Bool[np.ndarray, " vocab"]:
        """Tokens whose text ends so."""
        import pyarrow.compute as pc

        return self._flags(pc.ends_with(self._arrow, suffix))

    def are_of_class(self, name: str) -> Bool[np.ndarray, " vocab"]:
        """Tokens of one of the classes above."""
        return self._classes[name]

    @cached_property
    def begins_word(self) -> Bool[np.ndarray, " vocab"]:
        """The first character is a letter, a digit or `_`."""
        return self._where(lambda text: _is_word(text[:1]))

    @cached_property
    def begins_word_after_blanks(self) -> Bool[np.ndarray, " vocab"]:
        """Blanks, then a letter, a digit or `_`."""
        return self._where(lambda text: text[:1].isspace() and _is_word(text.lstrip()[:1]))

    @cached_property
    def ends_in_word(self) -> Bool[np.ndarray, " vocab"]:
        """The last character is a letter, a digit or `_`."""
        return self._where(lambda text: _is_word(text[-1:]))

    @cached_property
    def cut(self) -> tuple[UInt8[np.ndarray, " vocab"], Int64[np.ndarray, " vocab"]]:
        """For tokens that end within a character: its first byte (0 for others), and how many
        characters the token covers before it, the one that it may begin within included."""
        heads = np.zeros(len(self.texts), dtype=np.uint8)
        widths = np.zeros(len(self.texts), dtype=np.int64)
        for i, text in enumerate(self.texts):
            if "\\x" in text and (tail := _CUT.search(text)):
                heads[i] = int(tail[0][2:4], 16)
                widths[i] = len(_BEGINS_INSIDE.sub(_NO_CHARACTER, text[: tail.start()], count=1))
        return heads, widths

    @cached_property
    def _classes(self) -> dict[str, Bool[np.ndarray, " vocab"]]:
        return {name: self._where(is_one) for name, is_one in _CLASSES.items()}

    def _where(self, holds: Callable[[str], bool]) -> Bool[np.ndarray, " vocab"]:
        texts = (_ESCAPES.sub(_NO_CHARACTER, text) for text in self.texts)
        flags: Bool[np.ndarray, " vocab"] = np.fromiter(map(holds, texts), bool, len(self.texts))
        flags &= ~self.is_special
        return flags

    @cached_property
    def _arrow(self) -> Any:
        import pyarrow as pa

        return pa.array(self.texts, pa.large_utf8())

    def _flags(self, answer: Any) -> Bool[np.ndarray, " vocab"]:
        flags: Bool[np.ndarray, " vocab"] = np.asarray(answer) & ~self.is_special
        return flags


def folded(text: str) -> str:
    """The text in any case, without blanks around it."""
    return text.strip().casefold()


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _is_punctuation(text: str) -> bool:
    inner = text.strip()
    return bool(inner) and all(
        char != _NO_CHARACTER and unicodedata.category(char)[0] in "PS" for char in inner
    )


_CLASSES: dict[str, Callable[[str], bool]] = {
    "digit": lambda text: text.strip().isdecimal(),
    "upper": lambda text: text.lstrip()[:1].isupper(),
    "punctuation": _is_punctuation,
    "newline": lambda text: "\n" in text or "\r" in text,
    "space": lambda text: text.isspace(),
}
