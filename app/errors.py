"""Errors that a user can act on: each names the thing, the value got and what to do next."""

from http import HTTPStatus


class AppError(Exception):
    """A failure with a message for the person who caused it; never a traceback for them."""

    status: int = HTTPStatus.BAD_REQUEST
    title: str = "Bad request"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unauthorized(AppError):
    """Who writes has to show a token, and showed none that is known."""

    status = HTTPStatus.UNAUTHORIZED
    title = "Token needed"


class Forbidden(AppError):
    """The token shown is not for this, or came in a way that anybody could have caused."""

    status = HTTPStatus.FORBIDDEN
    title = "Not allowed"


class NotFound(AppError):
    """The address names something that is not there."""

    status = HTTPStatus.NOT_FOUND
    title = "Not found"


class InvalidInput(AppError):
    """A value from outside cannot be used as it stands."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Invalid input"


class Conflict(AppError):
    """What was asked for contradicts what is already there."""

    status = HTTPStatus.CONFLICT
    title = "Conflict"


class DatabaseUnavailable(AppError):
    """PostgreSQL cannot be reached, or refuses us."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "Database unavailable"


class SchemaMismatch(DatabaseUnavailable):
    """The database was made by an older or a newer version of the code."""

    title = "Database schema does not match"
