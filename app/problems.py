"""Every failure as an answer: a page, a fragment for htmx, or an RFC 9457 problem document.

The templates `errors/show.html` and `errors/_problem.html` get `problem`, a `Problem`. What a
program asked for (anything under /api, or by an Accept header that wants JSON and not HTML) gets
JSON. A failure that nobody foresaw is logged, and answered without its details.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from threading import Thread
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import embedded, urls
from app.config import get_settings
from app.errors import AppError, DatabaseUnavailable, Unauthorized
from app.templating import answer

MEDIA_TYPE = "application/problem+json"
MAX_SHOWN = 80
RETRY_SECONDS = "5"
_UNREADABLE = "There was an error parsing the body"  # as FastAPI says it
log = logging.getLogger("unitscope")


class InvalidValue(BaseModel):
    """One value of a request that cannot be used."""

    name: str = Field(description="Where it was: a parameter's name, or the path to a field.")
    value: str = Field(description="What was given, cut where it is long.")
    reason: str


class Problem(BaseModel):
    """An error as RFC 9457 has it; `detail` says what was given and what to do next."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was asked for.")
    errors: list[InvalidValue] = Field(default_factory=list)


def responses(meanings: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """For the API document: which statuses a call may answer with a problem, and why."""
    return {
        status: {
            "description": meaning,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "model": Problem,
        }
        for status, meaning in meanings.items()
    }


RESPONSES = responses(
    {
        404: "Nothing of that name is there.",
        413: "The body is too long.",
        422: "A parameter, cursor or body that cannot be used.",
        503: "The database does not answer.",
    }
)


def install(app: FastAPI) -> None:
    """Registers the one handler for every kind of failure."""
    handlers: dict[type[Exception], Any] = {
        AppError: _on_app_error,
        RequestValidationError: _on_invalid_request,
        HTTPException: _on_http_exception,
        OperationalError: _on_lost_database,
        InterfaceError: _on_lost_database,
        NoConnectionFree: _on_lost_database,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


class Surprises:
    """Answers what nobody foresaw. Inside the other middleware, so that this answer too is
    measured and has its headers; Starlette's own place for it is outside of them all."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def note(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, note)
        except Exception:
            if has_started or scope["type"] != "http":
                raise
            log.exception("%s %s failed", scope["method"], scope["path"])
            request = Request(scope, receive)
            await _on_surprise(request)(scope, receive, send)


def respond(
    request: Request, problem: Problem, headers: Mapping[str, str] | None = None
) -> Response:
    """The problem in the form that was asked for."""
    if wants_json(request):
        body = problem.model_dump_json(exclude_defaults=True)
        response = Response(body, problem.status, media_type=MEDIA_TYPE)
    else:
        response = answer(
            request,
            "errors/show.html",
            {"problem": problem},
            fragment="errors/_problem.html",
            status=problem.status,
        )
    response.headers.update(headers or {})
    response.headers["Cache-Control"] = "no-store"
    return response


def wants_json(request: Request) -> bool:
    """Whether a program asks: by the address, or by what it accepts."""
    if request.url.path == "/api" or request.url.path.startswith("/api/"):
        return True
    accept = request.headers.get("accept", "")
    return "json" in accept and "html" not in accept


def _problem(
    request: Request, status: int, title: str, detail: str, errors: Sequence[InvalidValue] = ()
) -> Problem:
    return Problem(
        title=title,
        status=status,
        detail=detail,
        instance=request.url.path,
        errors=list(errors),
    )


def _on_app_error(request: Request, error: AppError) -> Response:
    headers = {"Retry-After": RETRY_SECONDS} if isinstance(error, DatabaseUnavailable) else {}
    if isinstance(error, Unauthorized):
        headers = {"WWW-Authenticate": "Bearer"}
    problem = _problem(request, error.status, error.title, error.message)
    return respond(request, problem, headers)


def _on_invalid_request(request: Request, error: RequestValidationError) -> Response:
    invalid = [_invalid_value(each) for each in error.errors()]
    detail = " ".join(
        f"{each.name}{f'={each.value!r}' if each.value else ''}: {each.reason}." for each in invalid
    )
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return respond(request, _problem(request, status, "Invalid input", detail, invalid))


def _invalid_value(error: Mapping[str, Any]) -> InvalidValue:
    # The location's first part says query, path or body, which the name makes plain enough.
    if error["type"] == "json_invalid":
        place, said = error["loc"][-1], error.get("ctx", {}).get("error", "")
        return InvalidValue(name="body", value="", reason=f"no JSON: {said} at character {place}")
    name = ".".join(str(part) for part in error["loc"][1:]) or "request"
    value = str(error.get("input"))
    shown = value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + "…"
    return InvalidValue(name=name, value=shown, reason=str(error["msg"]))


def _on_http_exception(request: Request, error: HTTPException) -> Response:
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"Nothing is at {request.url.path}. {_where_to_look(request)}"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "GET")
        detail = f"{request.method} is not for {request.url.path}: use {allowed}."
    elif detail == _UNREADABLE:
        detail = "The body cannot be read as JSON: it is not UTF-8, or nested too deeply."
    title = HTTPStatus(error.status_code).phrase.capitalize()
    problem = _problem(request, error.status_code, title, detail)
    return respond(request, problem, error.headers)


def _where_to_look(request: Request) -> str:
    if wants_json(request):
        return f"{urls.OPENAPI} lists every call, {urls.API_DOCS} explains them."
    return f"Start at {urls.home()} or search at {urls.search()}."


def _on_lost_database(request: Request, error: SQLAlchemyError) -> Response:
    said = str(getattr(error, "orig", None) or error).strip()
    log.error("The database does not answer: %s", next(iter(said.splitlines()), "no reason given"))
    engine = request.app.state.engine
    if engine is not None:  # in the background: this answer is not kept waiting
        revive = partial(embedded.revive, get_settings().data_dir, engine.url)
        Thread(target=revive, name="revive", daemon=True).start()
    lost = DatabaseUnavailable(
        "The database does not answer, or refused the query for want of resources. Try again in "
        f"a few seconds; {urls.READYZ} and the server's log say more."
    )
    return _on_app_error(request, lost)


def _on_surprise(request: Request) -> Response:
    detail = "Unitscope failed on this request. That is a defect; the server's log has the cause."
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return respond(request, _problem(request, status, "Internal error", detail))
