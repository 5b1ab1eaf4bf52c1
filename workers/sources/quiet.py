"""Silence while a library loads something: its progress bars, log lines and warnings.

What matters in them is checked by our own code and said in our own errors.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARY_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    ImportError,
)
"""What these libraries raise, in one case or another, for files that they cannot use."""


@contextmanager
def quiet() -> Iterator[None]:
    """No log line below ERROR, no warning and no transformers progress bar inside the block."""
    from transformers.utils import logging as transformers_logging

    had_bars = transformers_logging.is_progress_bar_enabled()
    was_disabled = logging.root.manager.disable
    transformers_logging.disable_progress_bar()
    logging.disable(max(logging.WARNING, was_disabled))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(was_disabled)
        if had_bars:
            transformers_logging.enable_progress_bar()
