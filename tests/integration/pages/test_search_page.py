"""The search page says how it understood the input, and finds what REST finds."""

import pytest
from fastapi.testclient import TestClient

from tests.integration.pages.markup import parse
from tests.integration.seed import ON_SCRIPT


def understood(client: TestClient, q: str, model: str = "") -> str:
    reply = client.get("/search", params={"q": q, "model": model})
    assert reply.status_code == 200
    return " ".join(parse(reply.text).all("div", "section")[0].text.split())


def test_an_address_goes_to_the_unit(client: TestClient) -> None:
    for q in ("tiny-a/sae-1/7", "sae-1/7", "/tiny-a/sae-1/7", "sae-1 7", "sae-1:7"):
        reply = client.get("/search", params={"q": q}, follow_redirects=False)
        assert (reply.status_code, reply.headers.get("location")) == (302, "/tiny-a/sae-1/7")


def test_htmx_is_told_to_open_the_units_page(client: TestClient) -> None:
    reply = client.get("/search", params={"q": "sae-1/7"}, headers={"HX-Request": "true"})
    assert reply.headers["HX-Redirect"] == "/tiny-a/sae-1/7"


def test_a_sources_name_goes_to_the_source(client: TestClient) -> None:
    reply = client.get("/search", params={"q": "sae-1"}, follow_redirects=False)
    assert (reply.status_code, reply.headers.get("location")) == (302, "/tiny-a/sae-1")


def test_an_address_that_several_models_have_lists_them(client: TestClient) -> None:
    text = understood(client, "mlp-0/7")
    assert "address mlp-0/7" in text
    assert "tiny-a/mlp-0/7" in text and "tiny-b/mlp-0/7" in text


def test_a_quoted_token_finds_the_units_that_it_carries(client: TestClient) -> None:
    reply = client.get("/search", params={"q": '"</script>"', "model": "tiny-a"})
    page = parse(reply.text)
    first = page.all("tbody")[0].all("tr")[0]
    assert first.all("a")[0].text.endswith(f"/{ON_SCRIPT}")
    assert first.all("td")[1].text == "100%"
    assert "whose activation </script> carries" in " ".join(page.text.split())


def test_logit_finds_the_units_that_promote_a_token(client: TestClient) -> None:
    assert "that promote def" in understood(client, 'logit: "def"', "tiny-a")


@pytest.mark.parametrize("q", ["mlp-0/500", "no-source/1", '"nosuchtoken"', "logit: nosuchtoken"])
def test_what_finds_nothing_says_why(client: TestClient, q: str) -> None:
    reply = client.get("/search", params={"q": q, "model": "tiny-a"})
    assert reply.status_code == 200
    assert len(parse(reply.text).all("p", "notice")[0].text) > 20


@pytest.mark.parametrize(
    "q", ["", " ", "\0", '"', '""', "'", "\\", "%", "logit:", "🙂", "a" * 5000]
)
def test_any_input_is_answered(client: TestClient, q: str) -> None:
    assert client.get("/search", params={"q": q}).status_code == 200


def test_the_input_stays_in_the_box(client: TestClient) -> None:
    page = parse(client.get("/search", params={"q": '"><script>'}).text)
    assert page.all("input")[0].attributes["value"] == '"><script>'


@pytest.mark.parametrize("q", ["label: def (", "def ("])
def test_signs_that_labels_are_not_searched_for_are_said_and_linked(
    client: TestClient, q: str
) -> None:
    page = parse(client.get("/search", params={"q": q, "model": "tiny-a"}).text)
    if q.startswith("label"):
        links = [a for p in page.all("p", "notice") for a in p.all("a")]
        assert [link.text.strip() for link in links] == ["units that it carries"]
        assert client.get(links[0].attributes["href"]).status_code == 200
    else:  # neither a token nor words of a label
        assert "not one token" in page.text


def test_words_alone_get_no_notice(client: TestClient) -> None:
    assert "signs are not" not in understood(client, "label: def", "tiny-a")
