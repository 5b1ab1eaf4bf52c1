"""Writing from a page: forms, the cookie that holds a token, and asking for one.

A form that comes without a token is answered with a page that asks for one and carries the form
along, so that nothing typed is lost. Every form has to come from a page of this very site: the
browser says so (`Sec-Fetch-Site`), or its `Origin` is the host that was asked. So neither another
site nor another port of this host can write, sign anybody in or out.
"""

from collections.abc import Mapping
from typing import Annotated, NamedTuple
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse, Response

from app.access.tokens import Scope, Writer, cookie_of, find_by_cookie, find_writer
from app.errors import AppError, Forbidden, InvalidInput, Unauthorized
from app.sessions import RequestSession

MAX_BYTES = 64 * 1024
MAX_FIELDS = 20
TOKEN = "token"  # noqa: S105 (a field's name)
DAYS = 90
_TYPE = "application/x-www-form-urlencoded"


class SignInNeeded(Unauthorized):
    """A form that needs a token; `fields` are what was typed, to be sent again with one."""

    def __init__(self, message: str, fields: Mapping[str, str]) -> None:
        super().__init__(message)
        self.fields = {name: value for name, value in fields.items() if name != TOKEN}


class Visitor(NamedTuple):
    """Who sent a form; `secret` is a token that was typed just now, to be remembered."""

    writer: Writer
    secret: str | None


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form of this site. Raises Forbidden and InvalidInput."""
    _check_origin(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _TYPE:
        raise InvalidInput(f"A form is sent as {_TYPE}.")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise InvalidInput(f"The form is too long: at most {MAX_BYTES:,} bytes.")
    try:
        fields = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError as error:  # UnicodeDecodeError is one
        raise InvalidInput(
            f"The form cannot be read: wanted UTF-8, and at most {MAX_FIELDS} fields."
        ) from error
    return dict(fields)


FormFields = Annotated[dict[str, str], Depends(read_form)]


def visitor(
    request: Request, session: RequestSession, fields: Mapping[str, str], scope: Scope
) -> Visitor:
    """Who sent the form: by the token typed into it, else by the cookie.

    Raises SignInNeeded where neither will do.
    """
    typed = fields.get(TOKEN, "").strip()
    kept = request.cookies.get(cookie_name(request), "")
    if not typed and not kept:
        raise SignInNeeded("Saving needs a token.", fields)
    try:
        writer = find_writer(session, typed) if typed else find_by_cookie(session, kept)
        writer.require(scope)
    except AppError as error:
        raise SignInNeeded(error.message, fields) from error
    return Visitor(writer, typed or None)


def done(request: Request, href: str, sender: Visitor) -> Response:
    """303 to the page that shows what was written; a token that was typed is kept."""
    response = RedirectResponse(href, status_code=303, headers={"Cache-Control": "no-store"})
    if sender.secret is not None:
        response.set_cookie(
            cookie_name(request),
            cookie_of(sender.secret),
            max_age=DAYS * 24 * 3600,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
    return response


def cookie_name(request: Request) -> str:
    """One for each port: a browser shares a host's cookies between its ports."""
    return f"unitscope-{request.url.port or 'token'}"


def _check_origin(request: Request) -> None:
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None:
        host = request.headers.get("host", "")
        is_own = bool(host) and origin in (f"http://{host}", f"https://{host}")
    else:
        is_own = site == "same-origin"
    if not is_own:
        raise Forbidden(
            "This form did not come from a page of this site. Open the page and send it from "
            "there; programs write by REST, with a bearer token."
        )
