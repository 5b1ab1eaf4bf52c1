"""Documents of a corpus, one after another, from whatever a user names."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """A text and the name that a reader can find it by."""

    name: str
    text: str


def read_documents(spec: str, text_field: str = "text") -> Iterator[Document]:
    """The documents of `spec`, in an order that depends on the content alone."""
    raise NotImplementedError
