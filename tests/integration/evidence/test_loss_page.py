"""Recovered loss on the page of the evidence: the button, the waiting, the figures; on /jobs."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from tests.integration.evidence.conftest import Change
from tests.integration.pages.markup import Element, parse
from tests.integration.seed import ON_SCRIPT

OWN = {"Sec-Fetch-Site": "same-origin"}
UNIT = f"/tiny-a/sae-1/{ON_SCRIPT}"
RULE = '"</script>"'


@pytest.fixture
def signed_in(client: TestClient, secret: str) -> TestClient:
    client.post("/sign-in", data={"token": secret}, headers=OWN)
    return client


def part(client: TestClient, path: str = f"{UNIT}/test", **asked: str) -> Element:
    answer = client.get(path, params={"rule": RULE} | asked)
    assert answer.status_code == 200, answer.text
    (found,) = [div for div in parse(answer.text).all("div") if div.attributes.get("id") == "loss"]
    return found


def said(found: Element) -> str:
    return " ".join(found.text.split())


def press(client: TestClient, **asked: str) -> str:
    """Where the button leads to."""
    (form,) = part(client, **asked).all("form")
    assert form.attributes["hx-boost"] == "false"
    data = {each.attributes["name"]: each.attributes["value"] for each in form.all("input")}
    answer = client.post(form.attributes["action"], data=data, headers=OWN)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def test_the_button_has_it_measured_and_comes_back(
    signed_in: TestClient, start_worker: Callable[..., None], complete: Callable[[], None]
) -> None:
    back = press(signed_in, corpus="other-text", threshold="best")
    assert back.startswith(f"{UNIT}/test?rule=") and "threshold=best" in back
    waiting = part(signed_in, corpus="other-text", threshold="best")
    assert "Waiting for a worker" in said(waiting)
    assert "No worker serves this: unitscope worker" in said(waiting)
    start_worker()
    href = waiting.attributes["hx-get"]
    polled = signed_in.get(href, headers={"HX-Request": "true"})
    assert polled.text.lstrip().startswith("<div id=")
    assert "No worker" not in polled.text and "every 2s" in polled.text
    complete()
    polled = signed_in.get(href, headers={"HX-Request": "true"})
    assert "0.5" in polled.text and "hx-get" not in polled.text
    assert signed_in.get(href).headers["location"] == back


def test_what_is_not_measurable_shows_what_was_read_and_what_may_help(
    signed_in: TestClient, complete: Callable[[], None], change: Change
) -> None:
    press(signed_in)
    complete()
    change(is_measurable=False, ratio=None, ratio_low=None, ratio_high=None)
    text = said(part(signed_in))
    assert "Not measurable here" in text and "Try again" not in text
    for words in ("Nats a token over", "intact ", "by the rule ", "at its mean "):
        assert words in text
    assert f"unitscope loss tiny-a/sae-1/{ON_SCRIPT} '{RULE}' --corpus" in text
    assert "--windows 1024 (256 at most were read)" in text
    change(settings={"n_windows": 4096, "seed": 0})
    assert "a larger sample" in said(part(signed_in)) != text
    assert "--windows" not in said(part(signed_in))


def test_without_signing_in_the_form_is_kept_and_a_token_asked_for(client: TestClient) -> None:
    (form,) = part(client).all("form")
    data = {each.attributes["name"]: each.attributes["value"] for each in form.all("input")}
    answer = client.post(form.attributes["action"], data=data, headers=OWN)
    assert answer.status_code == 401
    kept = {
        i.attributes["name"]: i.attributes.get("value") for i in parse(answer.text).all("input")
    }
    assert kept["rule"] == RULE


def test_attempts_and_errors_are_in_words(signed_in: TestClient, change: Change) -> None:
    press(signed_in)
    change(status="running", n_attempts=2, error="<b>the cable</b> was out")
    text = said(part(signed_in))
    assert "Being measured, for the second time" in text
    assert "Last time: <b>the cable</b> was out" in text
    change(status="failed", n_attempts=3)
    failed = part(signed_in)
    assert "Could not be measured" in said(failed) and "Try again" in said(failed)
    assert "hx-get" not in failed.attributes
    press(signed_in)
    assert "Waiting" in said(part(signed_in))


def test_a_rule_with_line_ends_is_measured_as_it_is(signed_in: TestClient) -> None:
    asked = {"rule": '{"regex": "a\\r\\nb\\nc"}'}
    press(signed_in, **asked)
    assert "Waiting" in said(part(signed_in, **asked))


def test_what_is_no_rule_is_refused(signed_in: TestClient) -> None:
    answer = signed_in.post(f"{UNIT}/loss", data={"rule": "/(/"}, headers=OWN)
    assert answer.status_code == 422


def test_jobs_count_the_reports(
    signed_in: TestClient, change: Change, start_worker: Callable[..., None]
) -> None:
    assert "recovered loss" not in signed_in.get("/jobs").text
    press(signed_in)
    text = " ".join(parse(signed_in.get("/jobs").text).text.split())
    assert "Reports on recovered loss: 1 queued. No worker serves them" in text
    start_worker()
    change(status="failed")
    page = signed_in.get("/jobs").text
    assert "1 failed" in page and "No worker serves them" not in page
