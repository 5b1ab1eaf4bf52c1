"""The routers of the HTML pages, in the order in which they are matched: fixed words first, for
`/{model}` matches any."""

from fastapi import APIRouter

from app.access.routes import router as access
from app.corpora.routes import router as corpora
from app.evidence.routes import router as evidence
from app.explanations.routes import router as explanations
from app.hypotheses.routes import router as hypotheses
from app.jobs.routes import router as jobs
from app.language_models.routes import home_router
from app.language_models.routes import router as language_models
from app.notes.routes import router as notes
from app.rule_search.routes import router as rule_search
from app.search.routes import router as search
from app.sources.routes import router as sources
from app.units.routes import router as units

ROUTERS: list[APIRouter] = [
    home_router,
    search,
    corpora,
    jobs,
    notes,
    access,
    explanations,
    hypotheses,
    rule_search,
    evidence,
    units,
    sources,
    language_models,
]
