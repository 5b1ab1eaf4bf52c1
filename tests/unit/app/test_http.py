"""Every answer's headers, tags, 304 and HEAD, on an application without a database."""

import pytest
from fastapi import FastAPI, Response
from fastapi.testclient import TestClient

from app.http import Conditional


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    app.add_middleware(Conditional)
    app.get("/same")(lambda: {"value": 1})
    app.get("/other")(lambda: {"value": 2})
    app.get("/never")(lambda: Response("x", headers={"Cache-Control": "no-store"}))
    app.get("/bad")(lambda: Response("no", status_code=404))
    app.get("/framed")(lambda: Response("x", headers={"Content-Security-Policy": "mine"}))
    app.post("/same")(lambda: {"value": 1})
    return TestClient(app)


def test_equal_bodies_have_equal_tags_and_others_have_others(client: TestClient) -> None:
    tags = [client.get(path).headers["ETag"] for path in ("/same", "/same", "/other")]
    assert tags[0] == tags[1] != tags[2]


@pytest.mark.parametrize("form", ["{}", 'W/"x", {}', "*", ' "y" ,{} '])
def test_who_has_the_body_gets_304_and_no_body(client: TestClient, form: str) -> None:
    tag = client.get("/same").headers["ETag"]
    again = client.get("/same", headers={"If-None-Match": form.format(tag)})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["ETag"] == tag
    assert "Content-Length" not in again.headers


def test_a_strong_form_of_the_tag_matches_too(client: TestClient) -> None:
    tag = client.get("/same").headers["ETag"].removeprefix("W/")
    assert client.get("/same", headers={"If-None-Match": tag}).status_code == 304


def test_who_has_another_body_gets_this_one(client: TestClient) -> None:
    answer = client.get("/same", headers={"If-None-Match": 'W/"other"'})
    assert answer.status_code == 200
    assert answer.json() == {"value": 1}


def test_what_must_not_be_kept_and_what_failed_has_no_tag(client: TestClient) -> None:
    assert "ETag" not in client.get("/never").headers
    assert "ETag" not in client.get("/bad").headers
    assert client.get("/bad", headers={"If-None-Match": "*"}).status_code == 404


def test_a_post_is_never_304(client: TestClient) -> None:
    assert client.post("/same", headers={"If-None-Match": "*"}).status_code == 200


def test_head_has_the_headers_of_get_and_no_body(client: TestClient) -> None:
    got, head = client.get("/same"), client.head("/same")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["ETag"] == got.headers["ETag"]
    assert head.headers["Content-Length"] == got.headers["Content-Length"]


def test_every_answer_forbids_what_it_does_not_need(client: TestClient) -> None:
    for path in ("/same", "/bad", "/missing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_keeps_its_own_policy(client: TestClient) -> None:
    assert client.get("/framed").headers["Content-Security-Policy"] == "mine"
