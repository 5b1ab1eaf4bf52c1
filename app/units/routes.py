"""The unit's page, and a random one of a source."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from app import urls
from app.sessions import RequestSession
from app.templating import answer, go, wants_fragment
from app.units.queries import random_index
from app.units.schemas import ExampleKind
from app.units.service import View, examples_part, unit_page

router = APIRouter()


@router.get("/{model}/{source}/random", response_class=Response)
def show_random(request: Request, session: RequestSession, model: str, source: str) -> Response:
    """302 to a unit of the source that was ever active."""
    return go(request, urls.unit(model, source, random_index(session, model, source)))


@router.get("/{model}/{source}/{index}")
def show_unit(
    request: Request,
    session: RequestSession,
    model: str,
    source: str,
    index: int,
    corpus: str | None = None,
    kind: ExampleKind = "top",
    whole: bool = False,
    numbers: bool = False,
    embed: Annotated[bool, Query(description="The bare page, for an iframe.")] = False,
) -> HTMLResponse:
    """A unit: the permalink. To htmx, the list of examples that a tab stands for."""
    view = View(corpus or None, kind, whole, numbers, embed)
    load = examples_part if wants_fragment(request) else unit_page
    layout = "layouts/embed.html" if embed else "layouts/page.html"
    return answer(
        request,
        "units/show.html",
        {"page": load(session, model, source, index, view), "layout": layout},
        fragment="units/_examples.html",
        is_embeddable=embed,
    )
