"""Text that people type and others read: cleaned in one way, wherever it is kept."""

import re
import unicodedata

from app.errors import InvalidInput

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def clean(text: str, what: str, max_length: int, *, is_one_line: bool = False) -> str:
    """`text` as it is kept: NFC, lines ended by newlines alone, tabs as spaces, without blanks
    around it. Cleaning twice is cleaning once.

    At most `max_length` characters (code points), at least one that can be seen. Of one line, any
    blanks within are one space. `what` names it in messages: `explanation`. Raises InvalidInput,
    also for control characters and lone surrogates, which PostgreSQL or UTF-8 cannot hold.
    """
    kept = _LINE_ENDS.sub("\n", text).replace("\t", " ")
    if (bad := _CONTROL.search(kept)) is not None:
        raise InvalidInput(
            f"The {what} has a character that is no text, U+{ord(bad.group()):04X}, after "
            f"{bad.start()} others: take it out."
        )
    kept = unicodedata.normalize("NFC", kept).strip()
    if is_one_line:
        kept = " ".join(kept.split())
    if len(kept) > max_length:
        raise InvalidInput(
            f"The {what} has {len(kept):,} characters: wanted at most {max_length:,}."
        )
    if not any(unicodedata.category(each)[0] in "LNPS" for each in kept):
        raise InvalidInput(
            f"The {what} is empty: wanted 1 to {max_length:,} characters that can be seen."
        )
    return kept
