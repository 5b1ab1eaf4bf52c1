"""Similar units in a browser: loaded when they come into view, whatever happens to the cache."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine

from tests.e2e.conftest import Browse, serve
from tests.integration.seed import seed

UNIT = "/tiny-a/sae-1/5"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def site(module_engine: Engine, data_dir: Path) -> Iterator[str]:
    """The site on a seeded database, with a data directory of its own."""
    seed(module_engine)
    url = module_engine.url.set(drivername="postgresql")
    address = url.render_as_string(hide_password=False)
    own = {"UNITSCOPE_DATABASE_URL": address, "UNITSCOPE_DATA_DIR": str(data_dir)}
    yield from serve({**os.environ, **own})


def test_similar_units_come_when_they_are_scrolled_to(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": 1280, "height": 500})
    page.goto(UNIT)
    page.wait_for_load_state("networkidle")
    assert not [url for url in asked if url.endswith("/similar")]
    page.get_by_role("heading", name="Similar units").scroll_into_view_if_needed()
    page.mouse.wheel(0, 10_000)
    tables = page.locator("#similar-units table")
    expect(tables).to_have_count(2)
    first = tables.first.locator("tbody a").first
    name = first.inner_text()
    first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def test_without_javascript_a_link_leads_to_them(browse: Browse) -> None:
    page = browse(java_script_enabled=False)
    page.goto(UNIT)
    expect(page.get_by_text("Comparing…")).to_be_hidden()
    page.get_by_role("link", name="More units of similar activation").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Units like sae-1/5")
    assert page.locator("table").count() == 2


def test_the_cache_may_go_while_the_site_runs(page: Page, data_dir: Path) -> None:
    shown = []
    for damage in (_cut, shutil.rmtree, None):
        page.goto(f"{UNIT}/similar")
        shown.append(page.locator("#similar-units").inner_text())
        if damage:
            damage(data_dir / "cache")
    assert shown == shown[:1] * 3


def _cut(cache: Path) -> None:
    files = [*cache.rglob("levels")]
    assert files
    for file in files:
        os.truncate(file, 1)


@pytest.mark.parametrize("width", [320, 390, 768])
def test_the_page_is_no_wider_than_its_window(browse: Browse, width: int) -> None:
    page = browse(viewport={"width": width, "height": 700})
    page.goto(f"{UNIT}/similar")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
