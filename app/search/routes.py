"""The search page."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from app.search.service import SearchForm, search_page
from app.sessions import RequestSession
from app.templating import answer, go

router = APIRouter()


@router.get("/search", response_class=HTMLResponse)
def show_search(
    request: Request,
    session: RequestSession,
    q: str = "",
    model: str = "",
    cursor: str | None = None,
) -> Response:
    """Results; straight to the page where the input names one unit or one source."""
    page = search_page(session, SearchForm(q, model or None, cursor))
    if page.only_page is not None:
        return go(request, page.only_page)
    return answer(request, "search/show.html", {"page": page}, fragment="search/_results.html")
