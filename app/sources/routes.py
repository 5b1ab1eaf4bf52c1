"""The page of a source: its units, sorted, filtered, a page at a time."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.sessions import RequestSession
from app.sources.forms import ListingQuery
from app.sources.service import units_part
from app.templating import answer

router = APIRouter()


@router.get("/{model}/{source}")
def show_source(
    request: Request, session: RequestSession, model: str, source: str, listing: ListingQuery
) -> HTMLResponse:
    """A source. To htmx, the list of units alone."""
    page = units_part(session, model, source, listing)
    reply = answer(request, "sources/show.html", {"page": page}, fragment="sources/_units.html")
    # The address without the form's empty fields; only htmx reads this.
    reply.headers["HX-Push-Url"] = listing.href(page.source)
    return reply
