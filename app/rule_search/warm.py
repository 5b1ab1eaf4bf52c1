"""Loads what the first question would wait for: compiled kernels, Arrow and RE2."""

import logging
from contextlib import suppress

import numpy as np
from sqlalchemy import Engine

from app import db
from app.atlas.opened import OpenAtlas
from app.errors import AppError
from app.language_models.queries import list_models

log = logging.getLogger("unitscope")


N_MODELS = 2


def up(engine: Engine) -> None:
    """Asks a small question of a small atlas, and opens the largest models' atlases; never raises.

    For a thread of its own.
    """
    try:
        from app.rule_search.ranking import Searched, search
        from app.rules import patterns

        assert patterns
        for dtype in (np.uint16, np.uint32):
            search([Searched(_atlas(dtype))], np.array([0, 2]), np.array([0, 0, 1], np.int32))
        _open_atlases(engine)
    except Exception:
        log.exception("The kernels of rule search could not be loaded ahead")


def _open_atlases(engine: Engine) -> None:
    """Those of the models with most units: copied, checked, their text read."""
    from app.labels.library import open_library
    from app.rule_search.compared import compared

    with db.session(engine) as session:
        models = sorted(list_models(session).items, key=lambda model: -model.n_units)
        for model in models[:N_MODELS]:
            with suppress(AppError):  # nothing to open, which the first question is told
                open_library(compared(session, model.model).text)


def _atlas(dtype: type[np.uint16] | type[np.uint32]) -> OpenAtlas:
    """Three positions of two units."""
    scale = np.ones(2, np.float32)
    return OpenAtlas(
        "",
        np.array([0, 1, 2, 4]),
        np.array([0, 1, 0, 1], dtype),
        np.array([9, 8, 7, 6], np.uint8),
        -scale,
        scale,
        scale * 0,
    )
