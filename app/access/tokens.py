"""Tokens: made, found by their secret, taken back.

A secret is 32 random bytes, shown once; kept is its SHA-256, which for a random secret is as good
as any slower hash. A browser keeps a value made from the secret: other servers on the same host see
its cookies, and what they see must not do as a bearer token.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized
from app.models import AccessToken

Scope = Literal["explanations", "hypotheses", "jobs"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "us_"
MAX_SECRET = 200
_NAME = re.compile(r"[A-Za-z0-9](?:[\w .@+-]{0,98}[\w.@+-])?", re.ASCII)


class TokenInfo(BaseModel):
    """A token without its secret."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    scopes: list[str]
    created_at: datetime


class Writer(NamedTuple):
    """Somebody who showed a token."""

    name: str
    scopes: frozenset[str]

    def require(self, scope: Scope) -> None:
        """Raises Forbidden where the token is not for this."""
        if scope not in self.scopes:
            has = ", ".join(sorted(self.scopes))
            raise Forbidden(
                f"The token {self.name!r} is for {has}; this needs {scope}: `unitscope token "
                f"create NAME --scope {scope}` makes one."
            )


def create(session: Session, name: str, scopes: Sequence[str]) -> str:
    """A new token's secret. Raises InvalidInput, and Conflict for a name that is taken."""
    if _NAME.fullmatch(name) is None:  # letters that look like others would pass for somebody
        raise InvalidInput(
            f"The name {name[:100]!r} will not do: wanted 1 to 100 letters from a to z, digits, "
            "spaces or any of . @ + - _, a letter or digit first."
        )
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        given = f"--scope {unknown[0][:60]!r} is none" if unknown else "No --scope was given"
        raise InvalidInput(f"{given}: wanted one or more of {', '.join(SCOPES)}.")
    known = _named(session, name)
    if known is not None:
        is_live = "there is one already" if known.scopes else "it was taken back"
        raise Conflict(
            f"The name {known.name!r} is not free: {is_live}, and what was written with it stands "
            "under that name. Choose another."
        )
    secret = PREFIX + secrets.token_urlsafe(32)
    chosen = [scope for scope in SCOPES if scope in scopes]
    digests = {"digest": _digest(secret), "cookie_digest": _digest(cookie_of(secret))}
    session.add(AccessToken(name=name, scopes=chosen, **digests))
    session.flush()
    return secret


def revoke(session: Session, name: str) -> None:
    """Takes a token back; what was written with it stays, and so its name stays taken.

    Raises NotFound.
    """
    row = _named(session, name)
    if row is None or row.name != name or not row.scopes:
        raise NotFound(f"There is no token {name[:100]!r}: `unitscope token list` lists them.")
    row.scopes = []
    row.digest, row.cookie_digest = secrets.token_bytes(), secrets.token_bytes()


def list_tokens(session: Session) -> list[TokenInfo]:
    """All that are good, the oldest first."""
    is_good = func.cardinality(AccessToken.scopes) > 0
    rows = session.scalars(select(AccessToken).where(is_good).order_by(AccessToken.id))
    return [TokenInfo.model_validate(row) for row in rows]


def find_writer(session: Session, secret: str) -> Writer:
    """Whose token it is. Raises Unauthorized for none that is known."""
    is_likely = secret.startswith(PREFIX) and len(secret) <= MAX_SECRET
    return _writer(session, AccessToken.digest == _digest(secret) if is_likely else None)


def find_by_cookie(session: Session, value: str) -> Writer:
    """Whose token a browser keeps. Raises Unauthorized for none that is known."""
    is_likely = len(value) <= MAX_SECRET
    return _writer(session, AccessToken.cookie_digest == _digest(value) if is_likely else None)


def cookie_of(secret: str) -> str:
    """What a browser keeps instead of the secret."""
    return hashlib.sha256(b"cookie:" + secret.encode()).hexdigest()


def _writer(session: Session, is_theirs: ColumnElement[bool] | None) -> Writer:
    row = None
    if is_theirs is not None:
        row = session.scalars(select(AccessToken).where(is_theirs)).one_or_none()
    if row is None:
        raise Unauthorized(
            "This token is not known here: it is mistyped, cut, or was taken back. `unitscope "
            "token create NAME --scope …` makes one."
        )
    return Writer(row.name, frozenset(row.scopes))


def _named(session: Session, name: str) -> AccessToken | None:
    """In whatever case."""
    is_it = func.lower(AccessToken.name) == name.lower()
    return session.scalars(select(AccessToken).where(is_it)).one_or_none()


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
