"""Tokens in the database: what is kept of them, and who they let write."""

import pytest
from sqlalchemy import Engine, text

from app import db
from app.access import tokens
from app.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized
from tests.integration.access.conftest import MakeToken


def test_a_token_is_found_by_its_secret_and_the_secret_is_not_kept(
    engine: Engine, make_token: MakeToken
) -> None:
    secret = make_token("ada", "jobs")
    with db.session(engine) as session:
        writer = tokens.find_writer(session, secret)
        rows = str(session.execute(text("SELECT access_tokens::text FROM access_tokens")).all())
    assert writer == ("ada", frozenset({"jobs"}))
    assert secret not in rows and secret.removeprefix("us_") not in rows


def test_a_scope_that_the_token_lacks_is_named(engine: Engine, make_token: MakeToken) -> None:
    with db.session(engine) as session:
        writer = tokens.find_writer(session, make_token("ada", "jobs"))
        with pytest.raises(Forbidden, match="needs explanations"):
            writer.require("explanations")


@pytest.mark.parametrize("secret", ["", "us_", "us_wrong", "x" * 5000, "us_\0", "us_é" * 9])
def test_what_is_no_token_is_refused(engine: Engine, secret: str) -> None:
    with db.session(engine) as session, pytest.raises(Unauthorized):
        tokens.find_writer(session, secret)


def test_a_token_that_is_taken_back_lets_nobody_write(
    engine: Engine, make_token: MakeToken
) -> None:
    secret = make_token("ada")
    with db.session(engine) as session:
        tokens.revoke(session, "ada")
        assert tokens.list_tokens(session) == []
        with pytest.raises(Unauthorized):
            tokens.find_writer(session, secret)
        with pytest.raises(NotFound):
            tokens.revoke(session, "ada")
        with pytest.raises(Conflict, match="taken back"):
            tokens.create(session, "Ada", ["jobs"])


def test_a_name_is_given_once(make_token: MakeToken) -> None:
    make_token("ada")
    for name in ("ada", "ADA"):
        with pytest.raises(Conflict, match="'ada'"):
            make_token(name)


@pytest.mark.parametrize(
    "name", ["", " ", " ada", "ada ", "-a", "a\nb", "a\0", "<b>", "x" * 101, "\u0430da"]
)
def test_names_are_plain(make_token: MakeToken, name: str) -> None:
    with pytest.raises(InvalidInput):
        make_token(name)


@pytest.mark.parametrize("scopes", [["everything"], ["jobs", "nothing"]])
def test_unknown_scopes_are_named(make_token: MakeToken, scopes: list[str]) -> None:
    with pytest.raises(InvalidInput, match="explanations, hypotheses, jobs"):
        make_token("ada", *scopes)
