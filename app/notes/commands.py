"""What `unitscope export` and `unitscope import` do with what people wrote."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app import db, lines
from app.exchange import Imported
from app.explanations import exchange as explanations
from app.explanations.queries import all_of_model as all_explanations
from app.hypotheses import exchange as hypotheses
from app.hypotheses.queries import all_of_model as all_hypotheses
from app.notes.pages import NoteKind


class _Kind(NamedTuple):
    """How notes of a kind are read and added."""

    all_of_model: Callable[[Session, str], Iterator[BaseModel]]
    read_lines: Callable[[Session, Iterable[bytes]], Imported]


_KINDS: dict[NoteKind, _Kind] = {
    "explanations": _Kind(all_explanations, explanations.read_lines),
    "hypotheses": _Kind(all_hypotheses, hypotheses.read_lines),
}


def export(kind: NoteKind, model: str, out: str) -> None:
    """Writes a model's notes of a kind, a line each, to a file or (`-`) the standard output.

    Raises NotFound, InvalidInput.
    """
    engine = db.ready()
    with db.session(engine) as session, lines.writing(out) as to:
        n = lines.write_models(to, _KINDS[kind].all_of_model(session, model))
    if out != lines.STANDARD:
        print(f"{n:,} {kind} of {model} are in {out}.")


def import_(kind: NoteKind, file: str) -> None:
    """Adds notes from such lines; all of them or none. Raises AppError naming the line."""
    engine = db.ready()
    with lines.reading(file) as given, db.session(engine) as session:
        done = _KINDS[kind].read_lines(session, given)
    print(f"{done.n_new:,} {kind} are new, {done.n_known:,} were here already.")
