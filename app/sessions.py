"""A database session for each request."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.orm import Session

from app import db


def request_session() -> Iterator[Session]:
    """One unit of work, over when the answer is ready."""
    with db.session() as opened:
        yield opened


RequestSession = Annotated[Session, Depends(request_session)]
