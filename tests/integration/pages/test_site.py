"""The site as a whole: every link leads somewhere, every state is an address, errors are pages."""

import pytest
from fastapi.testclient import TestClient

from tests.integration.pages.markup import links, parse
from tests.integration.seed import DEAD, WITHOUT_EXAMPLES, Seeded

PAGES = [
    "/",
    "/tiny-a",
    "/tiny-a?corpus=other-text",
    "/tiny-a/mlp-0",
    "/tiny-a/sae-1?sort=density&alive=true&corpus=other-text",
    "/tiny-a/mlp-0/0",
    "/tiny-a/mlp-0/11?kind=interval&whole=1",
    "/tiny-a/sae-1/7?kind=random&corpus=other-text&numbers=1",
    f"/tiny-a/sae-1/{DEAD}",
    f"/tiny-a/sae-1/{WITHOUT_EXAMPLES}",
    "/tiny-a/mlp-0/7?embed=1",
    "/tiny-a/mlp-0/7/similar?corpus=other-text",
    f"/tiny-a/sae-1/{DEAD}/similar",
    "/corpora/code",
    "/search",
    "/search?q=%22def%22",
    "/search?q=logit:%20%22def%22&model=tiny-b",
    "/search?q=mlp-0/7",
    "/search?q=no-such-thing-at-all",
    "/nothing-here",
]


@pytest.mark.parametrize("address", PAGES)
def test_every_link_on_the_page_resolves(client: TestClient, address: str) -> None:
    page = parse(client.get(address).text)
    found = links(page)
    assert found
    for link in sorted(found):
        assert link.startswith("/"), f"{link} leaves this host"
        reply = client.get(link, follow_redirects=False)
        assert reply.status_code in (200, 302), f"{link} on {address}: {reply.status_code}"


@pytest.mark.parametrize("address", PAGES)
def test_every_form_asks_or_tells_this_site(client: TestClient, address: str) -> None:
    for form in parse(client.get(address).text).all("form"):
        if form.attributes.get("method", "get") != "get":
            assert form.attributes["method"] == "post"
            assert form.attributes["hx-boost"] == "false"
            assert form.attributes["action"].startswith("/")
            continue
        fields = {
            each.attributes["name"]: each.attributes.get("value", "")
            for each in [*form.all("input"), *form.all("select")]
        }
        reply = client.get(form.attributes["action"], params=fields)
        assert reply.status_code == 200


@pytest.mark.parametrize("address", PAGES)
def test_pages_ask_no_other_host(client: TestClient, address: str) -> None:
    page = parse(client.get(address).text)
    for element in page.all():
        for name in ("src", "href", "action"):
            target = element.attributes.get(name, "/")
            assert target.startswith(("/", "#")) and not target.startswith("//")


@pytest.mark.parametrize("address", PAGES)
def test_every_page_has_one_heading_and_a_title(client: TestClient, address: str) -> None:
    page = parse(client.get(address).text)
    assert len(page.all("h1")) == 1
    assert page.all("title")[0].text.strip().endswith("Unitscope")


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/no-model", 404),
        ("/tiny-a/no-source", 404),
        ("/tiny-a/mlp-0/12", 404),
        ("/tiny-a/mlp-0/-1", 404),
        ("/tiny-a/mlp-0/99999999999999999999", 404),
        ("/tiny-a/mlp-0/word", 422),
        ("/tiny-a/mlp-0/12/similar", 404),
        ("/tiny-a/mlp-0/7/similar?corpus=none", 404),
        ("/tiny-a/mlp-0/7?kind=word", 422),
        ("/tiny-a/mlp-0?cursor=word", 422),
        ("/tiny-a/mlp-0?min_density=2", 422),
        ("/tiny-a?corpus=no-corpus", 404),
        ("/corpora/no-corpus", 404),
        ("/%00", 404),
        ("/tiny-a/%3Cscript%3E", 404),
    ],
)
def test_errors_are_pages_that_name_what_was_wrong(
    client: TestClient, address: str, status: int
) -> None:
    reply = client.get(address)
    assert reply.status_code == status
    notice = parse(reply.text).all("p", "problem")[0].text
    assert len(notice) > 20
    part = client.get(address, headers={"HX-Request": "true"})
    assert part.status_code == status and "<html" not in part.text


def test_home_lists_models_and_corpora(client: TestClient) -> None:
    found = links(parse(client.get("/").text))
    assert {"/tiny-a", "/tiny-b", "/corpora/code", "/corpora/other-text"} <= found


def test_a_model_shows_its_sources_by_layer(client: TestClient) -> None:
    page = parse(client.get("/tiny-a").text)
    rows = [row.all("th")[0].text for row in page.all("tbody")[0].all("tr")]
    assert rows == ["0", "1"]
    assert {"/tiny-a/mlp-0", "/tiny-a/mlp-1", "/tiny-a/sae-1"} <= links(page)


def test_a_bar_of_the_density_plot_lists_its_units(client: TestClient, seeded: Seeded) -> None:
    page = parse(client.get("/tiny-a/sae-1").text)
    bars = page.all("svg")[1].all("a")
    n_listed = 0
    for bar in bars:
        listed = parse(client.get(bar.attributes["href"]).text).all("tbody")[0].all("tr")
        assert bar.attributes["aria-label"].endswith(f" {len(listed)} units")
        n_listed += len(listed)
    alive = (seeded.activations["tiny-a", "sae-1", "code"] > 0).any(0).sum()
    assert n_listed == alive


def test_the_list_is_sorted_by_the_heading_that_is_followed(client: TestClient) -> None:
    page = parse(client.get("/tiny-a/sae-1").text)
    [heading] = [th for th in page.all("th") if th.text == "maximum"]
    page = parse(client.get(heading.all("a")[0].attributes["href"]).text)
    shown = [float(row.all("td")[2].text) for row in page.all("tbody")[0].all("tr")]
    assert shown == sorted(shown, reverse=True)
    [heading] = [th for th in page.all("th") if th.text == "maximum"]
    assert heading.attributes["aria-sort"] == "descending"


def test_dead_and_dense_units_can_be_left_out(client: TestClient) -> None:
    def listed(query: str) -> list[str]:
        page = parse(client.get(f"/tiny-a/sae-1?{query}").text)
        return [row.all("td")[0].text for row in page.all("tbody")[0].all("tr")]

    assert str(DEAD) in listed("") and str(DEAD) not in listed("alive=true")
    assert listed("alive=false") == [str(DEAD)]
    assert "1" in listed("") and "1" not in listed("dense=false")


def test_the_list_alone_is_answered_to_htmx_under_a_clean_address(client: TestClient) -> None:
    reply = client.get(
        "/tiny-a/sae-1?q=&alive=true&min_density=&dense=", headers={"HX-Request": "true"}
    )
    assert reply.text.lstrip().startswith('<div id="units"')
    assert reply.headers["HX-Push-Url"] == "/tiny-a/sae-1?alive=true"
