"""What can be wrong with an atlas, its local copy, or the place for it."""

from http import HTTPStatus

from app.errors import AppError, Conflict


class Damaged(Exception):
    """Stored pieces, or their local copy, contradict themselves; the message says where.

    Never leaves this package: a damaged copy is fetched again, and what is damaged in the
    database becomes `AtlasUnusable`.
    """


class Underived(Damaged):
    """What is derived from a sound copy is not there or not whole; it can be made from the copy."""


class AtlasMissing(Conflict):
    """A source was scanned before atlases or directions were kept."""

    title = "Nothing to compare"


class AtlasUnusable(Conflict):
    """What the database holds of an atlas or of directions cannot be right."""

    title = "Damaged atlas"


class CacheUnavailable(AppError):
    """The local copy can be neither read nor written."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "No room for a local copy"
