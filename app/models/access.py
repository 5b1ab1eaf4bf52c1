"""Who may write: tokens, each of which names its scopes."""

from datetime import datetime

from sqlalchemy import DateTime, LargeBinary, String, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class AccessToken(Base):
    """A token by which a person or a program may write; its secret is not kept.

    name    whose it is; stands beside what was written with it
    scopes  what may be written: app.access.tokens.SCOPES; none once it was taken back
    digest  SHA-256 of the secret, which is random and long
    cookie_digest  SHA-256 of what a browser keeps instead of it, which is no bearer token
    """

    __tablename__ = "access_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    cookie_digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
