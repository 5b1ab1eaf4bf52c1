"""The README's tour, walked in a browser, with and without JavaScript."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import Browse


def numbers(cells: Locator) -> list[float]:
    """Figures of a column, as the page prints them."""
    return [to_number(text) for text in cells.all_inner_texts()]


def to_number(text: str) -> float:
    plain = text.strip().replace(",", "").replace("−", "-").replace("\u202f", "")
    if plain.endswith("%"):
        return float(plain[:-1]) / 100
    return float(plain) if plain != "dead" else 0.0


def take_the_tour(page: Page) -> None:
    """Home, model, source, sort, unit, tabs, search by address and by token, permalink."""
    page.goto("/")
    page.get_by_role("link", name="demo", exact=True).click()
    expect(page).to_have_url(re.compile(r"/demo$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("demo")

    page.get_by_role("link", name="mlp-2", exact=True).click()
    expect(page).to_have_url(re.compile(r"/demo/mlp-2"))
    page.get_by_role("columnheader", name="density").get_by_role("link").click()
    page.wait_for_url(re.compile("sort=density"))
    densities = numbers(page.locator("table.units tbody tr td:nth-child(2)"))
    assert len(densities) > 10
    assert densities in (sorted(densities), sorted(densities, reverse=True))

    row = page.locator("table.units tbody tr:not(.is-dead)").first
    index = row.locator("td").first.inner_text()
    row.locator("a").first.click()
    expect(page).to_have_url(re.compile(rf"/demo/mlp-2/{index}"))
    expect(page.get_by_role("heading", level=1)).to_have_text(f"mlp-2/{index}")

    tabs = page.get_by_role("navigation", name="Examples").get_by_role("link")
    for number in (*range(1, tabs.count()), 0):
        label = tabs.nth(number).inner_text()
        tabs.nth(number).click()
        current = page.locator("nav.tabs a[aria-current=page]")
        expect(current).to_have_text(label)
        expect(page.locator("#examples t-k").first).to_be_attached()

    search = page.get_by_role("searchbox").first
    search.fill(f"mlp-2/{index}")
    search.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"mlp-2/{index}")
    search = page.get_by_role("searchbox").first
    search.fill('"self"')
    search.press("Enter")
    expect(page.locator("#results tbody a").first).to_be_visible()
    page.locator("#results tbody a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"^[\w.-]+/\d+$"))

    permalink = page.url
    heading = page.get_by_role("heading", level=1).inner_text()
    page.goto("/")
    page.goto(permalink)
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)


def test_the_tour_and_no_request_leaves_the_host(page: Page, strangers: list[str]) -> None:
    take_the_tour(page)
    assert strangers == []


def test_the_tour_without_javascript(browse: Browse, strangers: list[str]) -> None:
    take_the_tour(browse(java_script_enabled=False))
    assert strangers == []


def test_going_back_shows_the_tab_before(page: Page) -> None:
    page.goto("/demo/mlp-2/7")
    page.get_by_role("navigation", name="Examples").get_by_role("link", name="Interval").click()
    page.wait_for_url(re.compile("kind=interval"))
    page.go_back()
    expect(page).not_to_have_url(re.compile("kind=interval"))
    expect(page.locator("nav.tabs a[aria-current=page]")).not_to_have_text(re.compile("Interval"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_tokens_are_readable_in_both_schemes(
    browse: Browse, scheme: str, strangers: list[str]
) -> None:
    page = browse(color_scheme=scheme)
    page.goto("/demo/mlp-2/7")
    token = page.locator("#examples t-k.m").first
    expect(token).to_be_visible()
    assert contrast(page, "#examples t-k.m") >= 4.5
    assert contrast(page, "main h1") >= 7
    lightness = page.evaluate(f"({LUMINANCE})(document.body)")[1]
    assert lightness > 0.7 if scheme == "light" else lightness < 0.1
    assert strangers == []


def test_keyboard_focus_shows_a_tokens_number(page: Page) -> None:
    page.goto("/demo/mlp-2/7")
    text = page.locator("#examples [data-walk]").first
    text.focus()
    page.keyboard.press("ArrowRight")
    focused = page.locator("#examples t-k:focus")
    expect(focused).to_have_count(1)
    value = focused.get_attribute("data-v")
    assert value
    shown = focused.evaluate("token => getComputedStyle(token, '::after').content")
    assert value in shown
    expect(page.locator("#token-read-out")).to_contain_text(value)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#examples t-k:focus")).to_have_count(1)


def test_hover_shows_a_tokens_number(page: Page) -> None:
    page.goto("/demo/mlp-2/7")
    token = page.locator("#examples t-k.m").first
    token.hover()
    shown = token.evaluate("token => getComputedStyle(token, '::after').content")
    assert token.get_attribute("data-v") in shown


def test_the_api_documents_load_nothing_from_elsewhere(page: Page, strangers: list[str]) -> None:
    page.goto("/api/docs")
    expect(page.get_by_text("/api/v1/models", exact=True).first).to_be_visible()
    assert strangers == []


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_no_page_is_wider_than_its_window(browse: Browse, width: int) -> None:
    page = browse(viewport={"width": width, "height": 900})
    for address in ("/", "/demo", "/demo/mlp-2", "/demo/mlp-2/7", "/search?q=%22self%22"):
        page.goto(address)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{address} is {wide} wide in a window of {width}"


def test_an_unknown_address_says_what_is_missing(page: Page) -> None:
    answer = page.goto("/demo/mlp-99/0")
    assert answer is not None
    assert answer.status == 404
    expect(page.locator("main")).to_contain_text("mlp-99")


LUMINANCE = """element => {
  // Relative luminance (WCAG 2) of an element's text and of what is painted behind it.
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const layers = [];
  for (let each = element; each; each = each.parentElement) layers.unshift(each);
  canvas.fillStyle = matchMedia('(prefers-color-scheme: dark)').matches ? '#000' : '#fff';
  canvas.fillRect(0, 0, 1, 1);
  for (const each of layers) {
    canvas.fillStyle = getComputedStyle(each).backgroundColor;
    canvas.fillRect(0, 0, 1, 1);
  }
  const measure = () => {
    const channels = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(c => c / 255)
      .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2];
  };
  const behind = measure();
  canvas.fillStyle = getComputedStyle(element).color;
  canvas.fillRect(0, 0, 1, 1);
  return [measure(), behind];
}"""


def contrast(page: Page, selector: str) -> float:
    """WCAG's contrast between an element's text and what is behind it."""
    text, behind = page.locator(selector).first.evaluate(LUMINANCE)
    light, dark = max(text, behind), min(text, behind)
    return float((light + 0.05) / (dark + 0.05))
