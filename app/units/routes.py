"""The unit's page, what is like it, and a random one of a source."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from app import urls
from app.sessions import RequestSession
from app.templating import answer, go, wants_fragment
from app.units.queries import random_index
from app.units.schemas import ExampleKind
from app.units.service import View, examples_part, unit_page
from app.units.similar import N_NEIGHBOURS
from app.units.similar_part import similar_part

N_SIMILAR = 50  # on the page of its own

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


@router.get("/{model}/{source}/{index}/similar")
def show_similar(
    request: Request,
    session: RequestSession,
    model: str,
    source: str,
    index: int,
    corpus: str | None = None,
) -> HTMLResponse:
    """The units most like one; to htmx, the few that the unit's page shows."""
    limit = N_NEIGHBOURS if wants_fragment(request) else N_SIMILAR
    return answer(
        request,
        "units/similar.html",
        {"page": similar_part(session, model, source, index, corpus or None, limit)},
        fragment="units/_similar.html",
    )
