"""Hypotheses on pages: saved by the evidence page's form, shown on the unit's, deleted there."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

from app.rule_search.names import NAMES
from tests.integration.pages.markup import Element, parse
from tests.integration.seed import ON_SCRIPT

OWN = {"Sec-Fetch-Site": "same-origin"}
UNIT = f"/tiny-a/sae-1/{ON_SCRIPT}"
MakeToken = Callable[..., str]


def forms(client: TestClient, path: str, **parameters: str) -> list[Element]:
    answer = client.get(path, params=parameters or None)
    assert answer.status_code == 200, answer.text
    posted = [f for f in parse(answer.text).all("form") if f.attributes.get("method") == "post"]
    assert all(form.attributes["hx-boost"] == "false" for form in posted)
    return [form for form in posted if "hypotheses" in form.attributes["action"]]


def fields(form: Element) -> dict[str, str]:
    """What a browser sends of it as it stands."""
    inputs = [each.attributes for each in form.all("input")]
    return {each["name"]: each.get("value", "").replace("\n", "\r\n") for each in inputs}


def send(client: TestClient, form: Element, **typed: str) -> object:
    return client.post(form.attributes["action"], data=fields(form) | typed, headers=OWN)


@pytest.fixture
def signed_in(client: TestClient, make_token: MakeToken) -> TestClient:
    client.post("/sign-in", data={"token": make_token()}, headers=OWN)
    return client


def save(client: TestClient, name: str, **asked: str) -> str:
    """Where the evidence page's form leads to."""
    (form,) = forms(client, f"{UNIT}/test", **asked)
    answer = send(client, form, name=name)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def shown(client: TestClient) -> Element:
    page = parse(client.get(UNIT).text)
    (found,) = [div for div in page.all("div") if div.attributes.get("id") == "hypotheses"]
    return found


def test_a_tested_rule_is_saved_and_stands_on_the_units_page(signed_in: TestClient) -> None:
    assert "None yet" in shown(signed_in).text
    asked = {"rule": '"</script>"', "corpus": "other-text", "threshold": "best"}
    href = save(signed_in, "closing tags", **asked)
    (item,) = shown(signed_in).all("li")
    assert href == f"{UNIT}#{item.attributes['id']}"
    words = " ".join(item.text.split())
    for word in ("closing tags", '"</script>"', "mass explained", "other-text", "By ada"):
        assert word in words
    assert [each.text for each in item.all("dt")] == [*NAMES.values()]
    (link,) = item.all("a")
    report = parse(signed_in.get(link.attributes["href"]).text)
    inputs = {i.attributes.get("name"): i.attributes.get("value", "") for i in report.all("input")}
    assert asked.items() <= inputs.items()


def test_the_address_of_the_form_leads_to_the_page(signed_in: TestClient) -> None:
    href = save(signed_in, "digits", rule=":digit")
    number = href.rpartition("-")[2]
    for path in (f"/hypotheses/{number}", f"/hypotheses/{number}/delete"):
        assert signed_in.get(path).headers["location"] == href
    assert signed_in.get(f"{UNIT}/hypotheses").headers["location"] == f"{UNIT}#hypotheses"
    assert signed_in.get("/hypotheses/77").status_code == 404


def test_without_a_token_nothing_is_saved_and_nothing_typed_is_lost(
    client: TestClient, make_token: MakeToken
) -> None:
    (form,) = forms(client, f"{UNIT}/test", rule=":digit")
    answer = send(client, form, name="digits <b>")
    assert answer.status_code == 401
    assert "None yet" in shown(client).text
    (again,) = [f for f in parse(answer.text).all("form") if f.attributes.get("method") == "post"]
    assert fields(again)["name"] == "digits <b>"
    assert send(client, again, token=make_token("bo", "jobs")).status_code == 401
    assert send(client, again, token=make_token()).status_code == 303
    assert "digits <b>" in shown(client).text


def test_a_form_of_another_site_saves_nothing(signed_in: TestClient) -> None:
    answer = signed_in.post(
        f"{UNIT}/hypotheses",
        data={"rule": ":digit", "name": "x"},
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status_code == 403
    assert "None yet" in shown(signed_in).text


HOSTILE = ["<script>alert(1)</script>", "\u202eflipped", "{{ 7 * 7 }}", "a" * 200, "' OR 1=1 --"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_shown_as_text(signed_in: TestClient, name: str) -> None:
    save(signed_in, name, rule=":digit")
    found = shown(signed_in)
    assert name in found.text and not found.all("script")
    assert "<script>alert" not in signed_in.get(UNIT).text


@pytest.mark.parametrize("rule", ["/a\n|b/", '"\\n"', "/<\\/script>/ | :digit", '/"&quot;"/'])
def test_rules_come_through_the_form_as_they_were(signed_in: TestClient, rule: str) -> None:
    save(signed_in, "it", rule=rule)
    api = f"/api/v1/models/tiny-a/sources/sae-1/units/{ON_SCRIPT}"
    (saved,) = signed_in.get(f"{api}/hypotheses").json()["items"]
    assert saved["rule"] == signed_in.get(f"{api}/test", params={"rule": rule}).json()["rule"]


@pytest.mark.parametrize(
    ("typed", "status", "words"),
    [
        ({"name": ""}, 422, "name is empty"),
        ({"name": "a" * 201}, 422, "at most 200"),
        ({"name": "x\0"}, 422, "U+0000"),
        ({"rule": "/(/"}, 422, "missing"),
        ({"rule": ""}, 422, "Column 1"),
        ({"threshold": "most"}, 422, "threshold"),
        ({"corpus": "a" * 300}, 404, "no scan of sae-1"),
        ({"name": "taken"}, 409, "taken"),
    ],
)
def test_what_cannot_be_saved_says_why(
    signed_in: TestClient, typed: dict[str, str], status: int, words: str
) -> None:
    save(signed_in, "taken", rule=":upper")
    sent = {"name": "x", "rule": ":digit"} | typed
    answer = signed_in.post(f"{UNIT}/hypotheses", data=sent, headers=OWN)
    assert answer.status_code == status
    assert words in parse(answer.text).text
    assert len(shown(signed_in).all("li")) == 1


def test_who_saved_it_deletes_it_and_nobody_else(client: TestClient, make_token: MakeToken) -> None:
    client.post("/sign-in", data={"token": make_token("ada")}, headers=OWN)
    save(client, "digits", rule=":digit")
    (form,) = forms(client, UNIT)
    assert send(client, form, token=make_token("bo")).status_code == 403
    assert len(shown(client).all("li")) == 1
    answer = send(client, form)
    assert answer.status_code == 303, answer.text
    assert (answer.status_code, answer.headers["location"]) == (303, f"{UNIT}#hypotheses")
    assert "None yet" in shown(client).text
    assert send(client, form).status_code == 404


def test_the_bare_page_shows_no_forms_that_write(signed_in: TestClient) -> None:
    save(signed_in, "digits", rule=":digit")
    assert forms(signed_in, UNIT, embed="1") == []


def test_links_of_a_listed_hypothesis_are_there(signed_in: TestClient) -> None:
    save(signed_in, "digits", rule=":digit")
    for link in shown(signed_in).all("a"):
        assert signed_in.get(urlsplit(link.attributes["href"]).geturl()).status_code == 200
