"""For those who run the site: is it up, is it ready, how is it doing; and the API's documents."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from pydantic import BaseModel
from sqlalchemy.pool import QueuePool

from app import db, metrics, urls
from app.templating import answer

router = APIRouter(include_in_schema=False)


class Health(BaseModel):
    status: str


@router.get(urls.HEALTHZ)
async def healthz() -> Health:
    """The process answers; whatever the database does."""
    return Health(status="ok")


@router.get(urls.READYZ)
def readyz(request: Request) -> Health:
    """The database answers and has this version's schema; 503 and the reason otherwise."""
    db.check_schema(request.app.state.engine)
    return Health(status="ready")


@router.get(urls.METRICS)
async def show_metrics(request: Request) -> PlainTextResponse:
    """Prometheus's text format."""
    pool = request.app.state.engine.pool
    gauges = []
    if isinstance(pool, QueuePool):
        n_used = float(pool.checkedout())
        gauges = [("unitscope_db_connections_in_use", "Connections at work.", n_used)]
    text = request.app.state.metrics.render(gauges)
    headers = {"Cache-Control": "no-store"}
    return PlainTextResponse(text, media_type=metrics.MEDIA_TYPE, headers=headers)


@router.get(urls.API_DOCS)
def show_api_docs(request: Request) -> HTMLResponse:
    """The API's documents, drawn from its description."""
    return answer(request, "api/docs.html", {})
