"""What `unitscope export explanations` and `unitscope import explanations` do."""

from app import db, lines
from app.explanations.exchange import read_lines
from app.explanations.queries import all_of_model


def export(model: str, out: str) -> None:
    """Writes a model's explanations, a line each, to a file or (`-`) the standard output.

    Raises NotFound, InvalidInput.
    """
    engine = db.get_engine()
    db.prepare(engine)
    with db.session(engine) as session, lines.writing(out) as to:
        n = lines.write_models(to, all_of_model(session, model))
    if out != lines.STANDARD:
        print(f"{n:,} explanations of {model} are in {out}.")


def import_(file: str) -> None:
    """Adds explanations from such lines; all of them or none. Raises AppError naming the line."""
    engine = db.get_engine()
    db.prepare(engine)
    with lines.reading(file) as given, db.session(engine) as session:
        done = read_lines(session, given)
    print(f"{done.n_new:,} explanations are new, {done.n_known:,} were here already.")
