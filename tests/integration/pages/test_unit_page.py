"""The unit's page: what it shows agrees with REST, and no text from outside acts."""

import re

import pytest
from fastapi.testclient import TestClient

from tests.integration.pages.markup import example_texts, parse
from tests.integration.seed import DEAD, ON_EMOJI, ON_SCRIPT, SCRIPT, WITHOUT_EXAMPLES, Seeded

KINDS = ("top", "bottom", "interval", "random", "active")


def get_json(client: TestClient, path: str):
    return client.get(f"/api/v1/models/tiny-a/sources/{path}").json()


@pytest.mark.parametrize("source", ["mlp-0", "sae-1"])
@pytest.mark.parametrize("kind", KINDS)
def test_examples_show_the_documents_text_exactly(
    client: TestClient, source: str, kind: str
) -> None:
    for index in (0, 1, ON_EMOJI, 7):
        items = get_json(client, f"{source}/units/{index}/examples?kind={kind}")["items"]
        page = parse(client.get(f"/tiny-a/{source}/{index}?kind={kind}").text)
        # HTML has no NUL: it is drawn by its name, and is the one character that cannot be copied.
        wanted = [item["text"].replace("\0", "") for item in items]
        shown = example_texts(page)
        assert sorted(shown) == sorted(wanted) if kind == "interval" else shown == wanted


def test_each_tokens_number_is_on_it(client: TestClient) -> None:
    [item] = get_json(client, f"mlp-0/units/{ON_SCRIPT}/examples?limit=1")["items"]
    page = parse(client.get(f"/tiny-a/mlp-0/{ON_SCRIPT}").text)
    [marked] = page.all("li", "example")[0].all("t-k", "m")
    assert item["activation"] == 7.25
    assert marked.text == SCRIPT
    assert marked.attributes["data-v"] == "7.25"
    assert marked.attributes["style"] == "--a:1"


def test_a_character_over_four_tokens_is_whole_with_four_values(client: TestClient) -> None:
    page = parse(client.get(f"/tiny-a/mlp-0/{ON_EMOJI}").text)
    [emoji] = page.all("li", "example")[0].all("t-k", "m")
    assert emoji.text == "🙂"
    assert "s" in emoji.classes
    assert len(emoji.all("i")) == 4
    assert len(emoji.attributes["data-v"].split(" · ")) == 4


def test_hostile_text_makes_no_element(client: TestClient) -> None:
    for source in ("mlp-0", "sae-1"):
        for index in range(8):
            html = client.get(f"/tiny-a/{source}/{index}?whole=1").text
            page = parse(html)
            assert not page.all("img")
            assert all(s.attributes["src"].startswith("/static/") for s in page.all("script"))
            assert not re.search(r"\son\w+=", re.sub(r"&[^;]+;", "", html.split("<main")[0]))
            assert "alert(1)</script>" not in html


def test_nothing_is_inline_and_the_policy_says_so(client: TestClient) -> None:
    reply = client.get("/tiny-a/mlp-0/0")
    policy = reply.headers["content-security-policy"]
    assert "script-src 'self';" in policy and "style-src 'self';" in policy
    assert "unsafe-eval" not in policy
    page = parse(reply.text)
    assert not page.all("style")
    assert all(not script.text.strip() for script in page.all("script"))
    assert all(
        re.fullmatch(r"--a:(1|\.\d\d)", e.attributes["style"])
        for e in page.all()
        if "style" in e.attributes
    )


def test_bidirectional_controls_are_named_and_isolated(client: TestClient) -> None:
    html = "".join(
        client.get(f"/tiny-a/{source}/{index}?kind={kind}&whole=1").text
        for source in ("mlp-0", "sae-1")
        for index in range(6, 12)
        for kind in KINDS
    )
    assert html.count("\u202e") > 0
    assert html.count("\u202e") == html.count('<w-h data-c="202E">\u202e</w-h>')


def test_figures_agree_with_rest(client: TestClient, seeded: Seeded) -> None:
    page = parse(client.get("/tiny-a/mlp-0/7").text)
    figures = {
        div.all("dt")[0].text: div.all("dd")[0].text
        for div in page.all("div")
        if div.children and any(getattr(c, "name", "") == "dt" for c in div.children)
    }
    values = seeded.activations["tiny-a", "mlp-0", "code"][:, 7]
    assert figures["maximum"] == f"{values.max():.2f}"
    assert figures["density"] == f"{(values > 0).mean() * 100:.1f}%"


def test_the_scale_of_the_colours_is_stated(client: TestClient, seeded: Seeded) -> None:
    highest = seeded.activations["tiny-a", "mlp-0", "code"][:, 7].max()
    lowest = seeded.activations["tiny-a", "mlp-0", "code"][:, 7].min()
    top = parse(client.get("/tiny-a/mlp-0/7").text).all("p", "scale")[0].text
    bottom = parse(client.get("/tiny-a/mlp-0/7?kind=bottom").text).all("p", "scale")[0].text
    assert f"maximum, {highest:.2f}" in top
    assert f"minimum, −{-lowest:.3f}" in bottom


def test_a_dead_unit_says_so(client: TestClient) -> None:
    for source in ("mlp-0", "sae-1"):
        for kind in KINDS:
            reply = client.get(f"/tiny-a/{source}/{DEAD}?kind={kind}")
            assert reply.status_code == 200
            assert "dead" in parse(reply.text).all("p", "notice")[0].text


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_without_examples_has_a_page(client: TestClient, kind: str) -> None:
    reply = client.get(f"/tiny-a/sae-1/{WITHOUT_EXAMPLES}?kind={kind}")
    assert reply.status_code == 200
    assert not example_texts(parse(reply.text))


def test_intervals_are_listed_highest_first_with_their_shares(client: TestClient) -> None:
    stats = get_json(client, "mlp-0/units/7")["stats"][0]
    sections = parse(client.get("/tiny-a/mlp-0/7?kind=interval").text).all("section", "interval")
    assert len(sections) == len(stats["intervals"])
    assert "of positions" in sections[0].text and "of mass" in sections[0].text
    assert all(section.all("li") for section in sections)


def test_shares_of_a_sample_have_their_errors_and_say_what_these_are(client: TestClient) -> None:
    page = parse(client.get("/tiny-b/mlp-0/7?kind=interval").text)
    sections = page.all("section", "interval")
    assert len(sections) > 1
    assert re.search(r"[\d.]+ ± 0\.[456]% of positions, \d+ ± 2% of mass", sections[-1].text)
    [about] = [p.text for p in page.all("p") if "standard error" in p.text]
    assert re.search(r"uniform sample of \d+ windows; ± is one standard error, by documents", about)
    whole = client.get("/tiny-a/mlp-0/7?kind=interval").text
    assert "±" not in whole and "standard error" not in whole


def test_the_histogram_says_what_the_sample_cannot_show(client: TestClient) -> None:
    caption = parse(client.get("/tiny-b/mlp-0/7").text).all("figcaption")[0].text
    assert re.search(
        r"fewer than about 3 in [\d,]+ positions, or in fewer than about 3 in \d+ windows, may be "
        r"missing", caption
    )  # fmt: skip
    whole = parse(client.get("/tiny-a/mlp-0/7").text).all("figcaption")[0].text
    assert "missing" not in whole


def test_active_at_random_is_a_tab_only_where_there_are_such_examples(client: TestClient) -> None:
    def tabs(address: str) -> list[str]:
        return [a.text for a in parse(client.get(address).text).all("nav", "tabs")[0].all("a")]

    assert "Active at random" in tabs(f"/tiny-a/sae-1/{ON_EMOJI}")
    assert "Active at random" not in tabs("/tiny-a/sae-1/7")
    assert "Active at random" in tabs("/tiny-a/sae-1/7?kind=active")  # where the reader is


def test_similar_units_are_loaded_after_the_page_or_by_a_link(client: TestClient) -> None:
    page = parse(client.get("/tiny-a/mlp-0/7?corpus=other-text").text)
    [later] = [each for each in page.all() if "hx-get" in each.attributes]
    href = later.attributes["hx-get"]
    assert href == "/tiny-a/mlp-0/7/similar?corpus=other-text"
    assert href in [a.attributes["href"] for a in page.all("a")]
    bare = parse(client.get("/tiny-a/mlp-0/7?embed=1").text)
    assert not [each for each in bare.all() if "hx-get" in each.attributes]


def test_similar_units_are_those_of_rest(client: TestClient) -> None:
    part = client.get("/tiny-a/sae-1/7/similar", headers={"HX-Request": "true"})
    assert part.text.lstrip().startswith('<div class="columns" id="similar-units"')
    tables = parse(part.text).all("table")
    whole = parse(client.get("/tiny-a/sae-1/7/similar").text).all("table")
    for i, by in enumerate(("activation", "direction")):
        items = get_json(client, f"sae-1/units/7/similar?by={by}&limit=500")["items"]
        wanted = [each["page"] for each in items]
        assert [a.attributes["href"] for a in tables[i].all("a")] == wanted[:10]
        assert [a.attributes["href"] for a in whole[i].all("a")] == wanted[:50]


def test_what_is_like_nothing_says_so(client: TestClient) -> None:
    part = parse(client.get(f"/tiny-a/sae-1/{DEAD}/similar").text)
    assert not part.all("table")
    assert "correlates with nothing" in part.text and "length 0" in part.text


def test_the_corpus_is_chosen_by_the_address(client: TestClient) -> None:
    stats = {s["corpus"]: s for s in get_json(client, "mlp-0/units/7")["stats"]}
    page = client.get("/tiny-a/mlp-0/7?corpus=other-text").text
    assert f"{stats['other-text']['max']:.2f}" in page
    assert client.get("/tiny-a/mlp-0/7?corpus=nowhere").status_code == 404


def test_embedded_pages_are_bare_and_may_be_framed(client: TestClient) -> None:
    whole, bare = client.get("/tiny-a/mlp-0/7"), client.get("/tiny-a/mlp-0/7?embed=1")
    assert "frame-ancestors 'self'" in whole.headers["content-security-policy"]
    assert "frame-ancestors *" in bare.headers["content-security-policy"]
    assert parse(whole.text).all("header") and not parse(bare.text).all("header", "top")
    assert parse(bare.text).all("base")[0].attributes["target"] == "_top"


def test_htmx_gets_the_examples_alone(client: TestClient) -> None:
    asked = {"HX-Request": "true"}
    part = client.get("/tiny-a/mlp-0/7?kind=random", headers=asked)
    page = client.get("/tiny-a/mlp-0/7?kind=random")
    assert part.text.lstrip().startswith('<div id="examples"')
    assert part.text.strip() in page.text
    assert "HX-Request" in part.headers["vary"] and "HX-Request" in page.headers["vary"]
    restored = client.get(
        "/tiny-a/mlp-0/7", headers={**asked, "HX-History-Restore-Request": "true"}
    )
    assert restored.text.startswith("<!doctype html>")


def test_random_goes_to_a_unit_that_is_alive(client: TestClient) -> None:
    for _ in range(20):
        reply = client.get("/tiny-a/sae-1/random", follow_redirects=False)
        assert reply.status_code == 302
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["location"] != f"/tiny-a/sae-1/{DEAD}"
