"""What `unitscope label` does."""

import sys

from app import db
from app.labels.making import label_model


def label(model: str, corpus: str | None) -> None:
    """Labels all units of a model's scans. Raises AppError as `label_model`."""
    engine = db.ready()
    done = label_model(engine, model, corpus, _tell)
    print(
        f"Of {done.n_units:,} units {done.n_explained:,} are labelled, "
        f"{done.n_labelled - done.n_explained:,} unexplained, "
        f"{done.n_units - done.n_labelled:,} too rare in the sample."
    )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
