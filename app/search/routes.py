"""The search page."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from app.rule_search.names import NAMES
from app.search.questions import parse_question
from app.search.rule_part import RuleForm, chance_part
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
    sort: str | None = None,
    source: str | None = None,
    corpus: str | None = None,
) -> Response:
    """Results; straight to the page where the input names one unit or one source."""
    rule = RuleForm(sort or None, source or None, corpus or None)
    page = search_page(session, SearchForm(q, model or None, cursor, rule))
    if page.only_page is not None:
        return go(request, page.only_page)
    return answer(request, "search/show.html", {"page": page}, fragment="search/_results.html")


@router.get("/search/chance", response_class=HTMLResponse)
def show_chance(
    request: Request,
    session: RequestSession,
    q: str,
    model: str,
    sort: str | None = None,
    source: str | None = None,
    corpus: str | None = None,
) -> Response:
    """What the best unit reaches by chance; loaded after the results, since it takes longer."""
    form = RuleForm(sort or None, source or None, corpus or None)
    found = chance_part(session, model, parse_question(q).text, form)
    return answer(
        request,
        "search/chance.html",
        {"answer": found, "name": NAMES[found.sort]},
        fragment="search/_chance.html",
    )
