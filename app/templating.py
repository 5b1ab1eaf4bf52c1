"""Templates: one environment, and the one helper that answers a page or its fragment.

Content security policy: everything comes from our own host, and no script or style sheet is
inline. The only exception is `style-src-attr`: a token carries its activation to the style sheet
as a custom property in a style attribute (`style=--a:.53`). Such an attribute can set properties of
its own element and nothing else, its content is a number that we printed, and text from outside is
escaped; a class for each level would say the same less plainly.
"""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from app import urls
from app.numbers import (
    format_activation,
    format_correlation,
    format_count,
    format_share,
    format_share_with_error,
    format_short_count,
    format_tick,
)
from app.times import format_about, format_duration, format_moment
from app.units.cells import segments

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
VARY = "HX-Request, HX-History-Restore-Request"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors {ancestors}"
)


def make_environment() -> Environment:
    """Jinja with autoescape; a name that a template misspells is an error, not a blank."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(urls=urls, version=version("unitscope"))
    environment.filters.update(
        activation=format_activation,
        count=format_count,
        short_count=format_short_count,
        share=format_share,
        share_with_error=format_share_with_error,
        correlation=format_correlation,
        tick=format_tick,
        duration=format_duration,
        about=format_about,
        moment=format_moment,
        segments=segments,
        plain_json=_plain_json,
        prose=_prose,
    )
    return environment


def _plain_json(value: object) -> str:
    """JSON for people to read; the template escapes it."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _prose(text: str) -> Markup:
    """A message of ours as HTML: what stands between backticks is code; all of it is escaped."""
    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:  # a backtick that came from outside
        return escape(text)
    code = Markup("<code>{}</code>").format
    return Markup("").join(code(part) if i % 2 else part for i, part in enumerate(parts))


environment = make_environment()


def wants_fragment(request: Request) -> bool:
    """Whether htmx asks for a part to swap in; when it restores history it needs the page."""
    headers = request.headers
    return "HX-Request" in headers and "HX-History-Restore-Request" not in headers


def answer(
    request: Request,
    page: str,
    context: Mapping[str, Any],
    *,
    fragment: str | None = None,
    status: int = 200,
    is_embeddable: bool = False,
) -> HTMLResponse:
    """The page, or for htmx the fragment of it that `page` itself includes, on one context."""
    name = fragment if fragment is not None and wants_fragment(request) else page
    html = environment.get_template(name).render({"request": request, **context})
    headers = {
        "Vary": VARY,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _POLICY.format(ancestors="*" if is_embeddable else "'self'"),
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(html, status_code=status, headers=headers)


def go(request: Request, href: str) -> Response:
    """302 to another page; htmx, which would swap that page in here, is told to open it."""
    if wants_fragment(request):
        return Response(headers={"HX-Redirect": href, "Vary": VARY, "Cache-Control": "no-store"})
    headers = {"Vary": VARY, "Cache-Control": "no-store"}
    return RedirectResponse(href, status_code=302, headers=headers)
