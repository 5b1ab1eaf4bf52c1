"""The web application: routers, what every answer has in common, and nothing else."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from threading import Thread

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from sqlalchemy import Engine
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from app import db, operations, pages, problems, urls
from app.access import routes as access
from app.bodies import Bounded
from app.corpora import api as corpora_api
from app.evidence import api as evidence_api
from app.explanations import api as explanations_api
from app.http import Conditional
from app.hypotheses import api as hypotheses_api
from app.jobs import api as jobs_api
from app.language_models import api as language_models_api
from app.metrics import Measured, Metrics
from app.parameters import only_known
from app.rule_search import api as rule_search_api
from app.rule_search import warm
from app.search import api as search_api
from app.sources import api as sources_api
from app.units import api as units_api

DESCRIPTION = (
    "Neurons and SAE latents of language models: what they respond to, over a whole corpus. "
    "Lists come in parts: pass `next` on as `cursor`. Every GET has an ETag. Every error is an "
    "RFC 9457 problem document that says what was given and what to do."
)
GZIP_MINIMUM_BYTES = 1000
GZIP_LEVEL = 4  # a page of 100 KB: 2 ms; the levels above cost more than they save


def create_app(engine: Engine | None = None) -> FastAPI:
    """The application on `engine`, by default on the database of the settings."""
    app = FastAPI(
        title="Unitscope",
        version=version("unitscope"),
        description=DESCRIPTION,
        openapi_url=urls.OPENAPI,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.engine = engine
    app.state.metrics = Metrics()
    # The last one added is the outermost.
    app.add_middleware(Bounded)
    app.add_middleware(problems.Surprises)
    app.add_middleware(Measured, metrics=app.state.metrics)
    app.add_middleware(Conditional)
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_MINIMUM_BYTES, compresslevel=GZIP_LEVEL)
    problems.install(app)
    access.install(app)
    app.include_router(_api())
    app.include_router(operations.router)
    for left in ("/api", "/api/{rest:path}"):
        app.add_route(left, _no_such_call, methods=["GET"])
    app.mount(urls.STATIC, _Static(directory=db.ROOT / "static"), name="static")
    for router in pages.ROUTERS:  # last: /{model} takes every address that is left
        app.include_router(router, include_in_schema=False)
    return app


async def _no_such_call(_request: Request) -> Response:
    """What is left under /api, before the pages take it for a model of that name."""
    raise HTTPException(404)


class _Static(StaticFiles):
    """static/ without what the package manager keeps there."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        if path.startswith(("node_modules", "package")):
            return "", None
        return super().lookup_path(path)


def _api() -> APIRouter:
    """Version 1 of the REST interface."""
    api = APIRouter(dependencies=[Depends(only_known)], responses=problems.RESPONSES)
    modules = (language_models_api, search_api, rule_search_api, sources_api, units_api)
    written = (evidence_api, explanations_api, hypotheses_api)
    for module in (*modules, *written, corpora_api, jobs_api):
        api.include_router(module.router)
    return api


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    logging.getLogger("unitscope").setLevel(logging.INFO)
    if app.state.engine is None:
        app.state.engine = db.get_engine()
        Thread(target=warm.up, args=[app.state.engine], name="warm-up", daemon=True).start()
    yield
