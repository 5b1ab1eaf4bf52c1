"""Opaque keyset cursors: where a listing stopped, and which listing it was.

A cursor is base64url of eight bytes of a keyed BLAKE2b and the JSON of the last item's sort key.
The digest covers the listing's identity too (its name, filters and order), so that a cursor that
was altered, cut, or carried to another listing is told apart from a good one. It guards against
mistakes, not against an attacker: everything in it is public and checked again where it is used.
"""

import base64
import binascii
import hashlib
import json
from typing import Generic, TypeVar

from pydantic import BaseModel, Field

from app.errors import InvalidInput

Item = TypeVar("Item")
KeyPart = int | float | str
DIGEST_SIZE = 8
MAX_LENGTH = 1000
DEFAULT_LIMIT = 50
MAX_LIMIT = 500


class Page(BaseModel, Generic[Item]):
    """A part of a listing, and the cursor of the part after it."""

    items: list[Item]
    next: str | None = Field(
        None, description="Pass as `cursor` for what follows; null at the end."
    )


def encode(listing: str, key: tuple[KeyPart, ...]) -> str:
    """The cursor that continues `listing` after the item whose sort key is `key`."""
    payload = json.dumps(key, separators=(",", ":")).encode()
    return _text(_digest(listing, payload) + payload)


def decode(listing: str, cursor: str, types: tuple[type, ...]) -> tuple[KeyPart, ...]:
    """The sort key in `cursor`, one value of each of `types`.

    Raises InvalidInput for anything that `encode` did not make for this very listing.
    """
    if len(cursor) > MAX_LENGTH:
        raise _refusal(cursor)
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refusal(cursor) from error
    payload = raw[DIGEST_SIZE:]
    if raw[:DIGEST_SIZE] != _digest(listing, payload) or _text(raw) != cursor:
        raise _refusal(cursor)
    key = json.loads(payload)
    is_list = isinstance(key, list) and len(key) == len(types)
    if not is_list or not all(map(_is_part, key, types)):
        raise _refusal(cursor)
    return tuple(key)


def _is_part(value: object, kind: type) -> bool:
    """Whether it is of the kind, and a number that a database can compare with."""
    if isinstance(value, bool) or not isinstance(value, kind):
        return False
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _text(raw: bytes) -> str:
    """Base64url without padding; comparing with it refuses strays in the unused last bits."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _digest(listing: str, payload: bytes) -> bytes:
    keyed = hashlib.blake2b(payload, digest_size=DIGEST_SIZE, key=b"unitscope.cursor")
    keyed.update(b"\0" + listing.encode())
    return keyed.digest()


def _refusal(cursor: str) -> InvalidInput:
    shown = cursor if len(cursor) <= 40 else cursor[:40] + "…"
    return InvalidInput(
        f"cursor={shown!r} does not belong to this listing: it was altered, or made under other "
        "filters or another order. Start again without a cursor, and pass `next` on as it came."
    )
