"""The cookie of a browser: how it comes, and that only this site's own pages can use it."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from app import db
from app.access import tokens
from app.errors import Unauthorized
from tests.integration.access.conftest import MakeToken

OWN = {"Sec-Fetch-Site": "same-origin"}


def test_a_token_typed_once_signs_the_browser_in(client: TestClient, make_token: MakeToken) -> None:
    answer = client.post("/sign-in", data={"token": f" {make_token()} "}, headers=OWN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    shown = client.get("/sign-in")
    assert "Signed in as" in shown.text and "ada" in shown.text
    assert shown.headers["cache-control"] == "no-store"


def test_what_the_browser_keeps_is_no_bearer_token(
    client: TestClient, engine: Engine, make_token: MakeToken
) -> None:
    secret = make_token()
    client.post("/sign-in", data={"token": secret}, headers=OWN)
    (kept,) = client.cookies.values()
    assert secret not in kept
    with db.session(engine) as session:
        assert tokens.find_by_cookie(session, kept).name == "ada"
        with pytest.raises(Unauthorized):
            tokens.find_writer(session, kept)
        with pytest.raises(Unauthorized):
            tokens.find_by_cookie(session, secret)


def test_signing_out_forgets_the_token(client: TestClient, make_token: MakeToken) -> None:
    client.post("/sign-in", data={"token": make_token()}, headers=OWN)
    assert client.post("/sign-out", headers=OWN, data={"x": ""}).status_code == 303
    assert "Signed in as" not in client.get("/sign-in").text


def test_a_wrong_token_is_not_kept(client: TestClient) -> None:
    answer = client.post("/sign-in", data={"token": "us_<b>"}, headers=OWN)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "is not known here" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://testserver"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "null"},
        {"Origin": "http://testserver.example"},
        {"Origin": "http://testserver:81"},
        {"Origin": "http:" + "//["},  # no address at all
    ],
)
def test_a_form_of_another_site_is_refused(
    client: TestClient, make_token: MakeToken, headers: dict[str, str]
) -> None:
    answer = client.post("/sign-in", data={"token": make_token()}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_browser_that_says_only_where_the_form_came_from_is_believed(
    client: TestClient, make_token: MakeToken
) -> None:
    headers = {"Origin": "http://testserver"}
    assert client.post("/sign-in", data={"token": make_token()}, headers=headers).is_redirect


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"token=" + b"x" * 70_000, "application/x-www-form-urlencoded"),
        (b"a=&" * 50, "application/x-www-form-urlencoded"),
        (b"token=\xff", "application/x-www-form-urlencoded"),
        (b"token=%ff", "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
    ],
)
def test_forms_that_cannot_be_read_are_refused(
    client: TestClient, content: bytes, kind: str
) -> None:
    answer = client.post("/sign-in", content=content, headers=OWN | {"Content-Type": kind})
    assert answer.status_code == 422
