"""A database session for each request."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app import db


def request_session(request: Request) -> Iterator[Session]:
    """One unit of work on the application's engine, over when the answer is ready to be sent."""
    with db.session(request.app.state.engine) as opened:
        yield opened


RequestSession = Annotated[Session, Depends(request_session, scope="function")]
