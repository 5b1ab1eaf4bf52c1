"""Loads what the first question would wait for: compiled kernels, Arrow and RE2."""

import logging

import numpy as np

from app.atlas.opened import OpenAtlas

log = logging.getLogger("unitscope")


def up() -> None:
    """Asks a small question of a small atlas, in a thread of its own; never raises."""
    try:
        from app.rule_search.ranking import Searched, search
        from app.rules import patterns

        assert patterns
        for dtype in (np.uint16, np.uint32):
            search([Searched(_atlas(dtype))], np.array([0, 2]), np.array([0, 0, 1], np.int32))
    except Exception:
        log.exception("The kernels of rule search could not be loaded ahead")


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
