"""What `unitscope export hypotheses` and `unitscope import hypotheses` do."""

from app import db, lines
from app.hypotheses.exchange import read_lines
from app.hypotheses.queries import every_one


def export(model: str, out: str) -> None:
    """Writes a model's hypotheses, a line each, to a file or (`-`) the standard output.

    Raises NotFound, InvalidInput.
    """
    engine = db.get_engine()
    db.prepare(engine)
    with db.session(engine) as session, lines.writing(out) as to:
        n = lines.write_models(to, every_one(session, model))
    if out != lines.STANDARD:
        print(f"{n:,} hypotheses of {model} are in {out}.")


def import_(file: str) -> None:
    """Adds hypotheses from such lines; all of them or none. Raises AppError naming the line."""
    engine = db.get_engine()
    db.prepare(engine)
    with lines.reading(file) as given, db.session(engine) as session:
        done = read_lines(session, given)
    print(f"{done.n_new:,} hypotheses are new, {done.n_known:,} were here already.")
