"""Explanations on pages: written by the unit's form, shown in the label's place, deleted there."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from tests.integration.explanations.conftest import MakeToken, Say
from tests.integration.pages.markup import Element, parse

OWN = {"Sec-Fetch-Site": "same-origin"}
UNIT = "/tiny-a/mlp-0/2"
Send = Callable[..., object]


def shown(client: TestClient, unit: str = UNIT) -> Element:
    page = parse(client.get(unit).text)
    (found,) = [div for div in page.all("div") if div.attributes.get("id") == "explanations"]
    return found


def explained(client: TestClient) -> list[str]:
    return [each.text for each in shown(client).all("div", "explanation")]


def fields(form: Element) -> dict[str, str]:
    """What a browser sends of it as it stands."""
    inputs = [each.attributes for each in form.all("input")]
    return {each["name"]: each.get("value", "").replace("\r\n", "\n") for each in inputs}


def write(client: TestClient, text: str, **more: str) -> int:
    form = shown(client).all("form")[-1]
    assert form.attributes["method"] == "post" and form.attributes["hx-boost"] == "false"
    (area,) = form.all("textarea")
    sent = {area.attributes["name"]: text, **more}
    answer = client.post(form.attributes["action"], data=sent, headers=OWN)
    if answer.status_code == 303:
        assert answer.headers["location"] == f"{UNIT}#explanations"
    return answer.status_code


@pytest.fixture
def signed_in(client: TestClient, make_token: MakeToken) -> TestClient:
    client.post("/sign-in", data={"token": make_token()}, headers=OWN)
    return client


def test_the_newest_stands_above_the_label_and_others_in_a_fold(signed_in: TestClient) -> None:
    assert write(signed_in, "first\r\nline") == 303
    assert write(signed_in, "second") == 303
    part = shown(signed_in)
    newest, older = part.all("div", "explanation")
    assert newest.all("bdi")[0].text == "second" and "ada" in newest.text
    assert older.all("bdi")[0].text == "first\nline"
    assert older in part.all("details")[1].all("div")
    (label,) = part.all("p", "provisional")
    assert "Automatic label, provisional" in label.text
    assert part.text.index("second") < part.text.index("Automatic") < part.text.index("first")


def test_without_a_token_nothing_is_kept_and_nothing_typed_is_lost(
    client: TestClient, make_token: MakeToken
) -> None:
    form = shown(client).all("form")[-1]
    sent = {"text": "dogs\r\n<b>cats"}
    answer = client.post(form.attributes["action"], data=sent, headers=OWN)
    assert answer.status_code == 401
    assert explained(client) == []
    (again,) = [f for f in parse(answer.text).all("form") if f.attributes.get("method") == "post"]
    sent = fields(again) | {"token": make_token()}
    assert client.post(again.attributes["action"], data=sent, headers=OWN).status_code == 303
    (said,) = explained(client)
    assert "dogs\n<b>cats" in said


def test_a_form_of_another_site_writes_nothing(signed_in: TestClient) -> None:
    answer = signed_in.post(
        f"{UNIT}/explanations", data={"text": "x"}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403
    assert explained(signed_in) == []


@pytest.mark.parametrize(
    ("text", "words"), [(" ", "is empty"), ("a\0", "U+0000"), ("a" * 2001, "2,001 characters")]
)
def test_what_cannot_be_kept_says_why(signed_in: TestClient, text: str, words: str) -> None:
    answer = signed_in.post(f"{UNIT}/explanations", data={"text": text}, headers=OWN)
    assert answer.status_code == 422
    assert words in parse(answer.text).text
    assert explained(signed_in) == []


HOSTILE = ["<script>alert(1)</script>", "\u202eflipped", "{{ 7 * 7 }}", "a" * 2000, "' OR 1=1"]


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_are_shown_as_text(signed_in: TestClient, text: str) -> None:
    write(signed_in, text)
    part = shown(signed_in)
    assert part.all("bdi")[0].text == text and not part.all("script")
    for page in ("/tiny-a/mlp-0", "/search?q=mlp-0/2&model=tiny-a", "/search?q=:digit"):
        answer = signed_in.get(page)
        assert answer.status_code in (200, 302)
        assert "<script>alert" not in answer.text


def test_who_wrote_it_deletes_it_and_nobody_else(
    signed_in: TestClient, make_token: MakeToken, say: Say
) -> None:
    written = say("mlp-0/2", "cats", "bo")
    form = shown(signed_in).all("form")[0]
    action = form.attributes["action"]
    assert action == f"/explanations/{written['id']}/delete"
    refused = signed_in.post(action, data={"x": ""}, headers=OWN)
    assert refused.status_code == 403
    words = parse(refused.text).text
    assert "'bo'" in words and "'ada'" in words
    answer = signed_in.post(action, data={"token": make_token("bo2", "jobs")}, headers=OWN)
    assert answer.status_code == 401
    write(signed_in, "dogs")
    own = shown(signed_in).all("form")[0].attributes["action"]
    answer = signed_in.post(own, data={"x": ""}, headers=OWN)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{UNIT}#explanations")
    (left,) = explained(signed_in)
    assert "cats" in left
    assert signed_in.post(own, data={"x": ""}, headers=OWN).status_code == 404


def test_the_addresses_of_the_forms_lead_to_the_page(signed_in: TestClient) -> None:
    write(signed_in, "dogs")
    action = shown(signed_in).all("form")[0].attributes["action"]
    for path in (action, action.removesuffix("/delete"), f"{UNIT}/explanations"):
        assert signed_in.get(path).headers["location"] == f"{UNIT}#explanations"
    assert signed_in.get("/explanations/77").status_code == 404


def test_the_bare_page_shows_the_newest_and_no_forms(signed_in: TestClient) -> None:
    write(signed_in, "first")
    write(signed_in, "second")
    part = shown(signed_in, f"{UNIT}?embed=1")
    assert "second" in part.text and "first" not in part.text
    assert not part.all("form")


def test_lists_show_what_a_person_says_in_the_labels_place(client: TestClient, say: Say) -> None:
    say("mlp-0/2", "zebras\nin   lines " + "x" * 500)
    for path in ("/tiny-a/mlp-0", "/tiny-a/mlp-0/1/similar", "/search?q=:digit&model=tiny-a"):
        page = parse(client.get(path).text)
        cell, *_ = page.all("bdi", "by-person")
        assert cell.text.startswith("zebras in lines xxx") and len(cell.text) <= 160
    unlabelled = client.get("/tiny-b/mlp-0").text
    assert "by-person" not in unlabelled
