"""Tokens that come with a REST call: `Authorization: Bearer us_…`, and in no other way.

A cookie is not asked here, so that no page of another site can make a browser write.
"""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.access.tokens import Scope, Writer, find_writer
from app.errors import Unauthorized
from app.problems import responses
from app.sessions import RequestSession

_bearer = HTTPBearer(
    auto_error=False, description="`unitscope token create NAME --scope …` makes a token."
)
_Shown = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]

RESPONSES = responses(
    {
        401: "No token was shown, or none that is known.",
        403: "The token is not for this.",
        409: "It contradicts what is there.",
    }
)


def may_write(scope: Scope) -> Callable[..., Writer]:
    """A dependency: who writes, if their token has the scope."""

    def writer(session: RequestSession, shown: _Shown) -> Writer:
        if shown is None:
            raise Unauthorized(
                "This call writes, so it needs a token: send `Authorization: Bearer us_…`. "
                f"`unitscope token create NAME --scope {scope}` makes one."
            )
        found = find_writer(session, shown.credentials)
        found.require(scope)
        return found

    return writer
