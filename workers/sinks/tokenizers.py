"""Writes a tokenizer and its tokens."""

from sqlalchemy.orm import Session

from workers.sources.language_models import LoadedModel


def store_tokenizer(session: Session, model: LoadedModel) -> int:
    """The id of the model's tokenizer, written now unless it is there already."""
    raise NotImplementedError
