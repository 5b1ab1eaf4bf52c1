"""Signing in and out: a token typed once, and kept by the browser."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from app import urls
from app.access.forms import TOKEN, FormFields, SignInNeeded, Visitor, cookie_name, done
from app.access.tokens import SCOPES, Writer, find_by_cookie, find_writer
from app.errors import Unauthorized
from app.sessions import RequestSession
from app.templating import answer, go

router = APIRouter()


def install(app: FastAPI) -> None:
    """Answers forms that lack a token with the page that asks for one."""
    app.add_exception_handler(SignInNeeded, _ask)  # type: ignore[arg-type]


@router.get("/sign-in")
def show_sign_in(request: Request, session: RequestSession) -> HTMLResponse:
    """Who is signed in, or a field for a token."""
    writer, problem = None, None
    if kept := request.cookies.get(cookie_name(request)):
        try:
            writer = find_by_cookie(session, kept)
        except Unauthorized as error:
            problem = error.message
    return _page(request, urls.sign_in(), writer=writer, problem=problem)


@router.post("/sign-in")
def sign_in(request: Request, session: RequestSession, fields: FormFields) -> Response:
    """Keeps the token, if it is one."""
    secret = fields.get(TOKEN, "").strip()
    try:
        sender = Visitor(find_writer(session, secret), secret)
    except Unauthorized as error:
        raise SignInNeeded(error.message, {}) from error
    return done(request, urls.sign_in(), sender)


@router.get("/sign-out", response_class=Response)
def show_sign_out(request: Request) -> Response:
    """The address of the form, opened as a link."""
    return go(request, urls.sign_in())


@router.post("/sign-out")
def sign_out(request: Request, _fields: FormFields) -> Response:
    """Forgets the token; it stays good elsewhere."""
    response = RedirectResponse(urls.sign_in(), 303, headers={"Cache-Control": "no-store"})
    response.delete_cookie(cookie_name(request))
    return response


async def _ask(request: Request, error: SignInNeeded) -> Response:
    return _page(
        request,
        request.url.path,
        problem=error.message,
        fields=error.fields,
        status=error.status,
    )


def _page(
    request: Request,
    action: str,
    *,
    writer: Writer | None = None,
    problem: str | None = None,
    fields: dict[str, str] | None = None,
    status: int = 200,
) -> HTMLResponse:
    context: dict[str, Any] = {
        "action": action,
        "writer": writer,
        "problem": problem,
        "fields": fields or {},
        "scopes": SCOPES,
    }
    response = answer(request, "access/sign_in.html", context, status=status)
    response.headers["Cache-Control"] = "no-store"
    return response
