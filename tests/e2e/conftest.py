"""A real site, indexed by the real command and served by it, and a real Chromium.

`site`     the site's address; the shipped model and dictionaries over a little of the standard
           library, indexed once a session
`page`     a page in a context of its own, that records every request to another host
`browse`   makes such pages: without JavaScript, in the dark, at another size
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
N_TOKENS = 20_000
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
QUIET_CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Browse = Callable[..., Page]


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    # Not in pytest's temporary folder, for the reason that `start_cluster` gives.
    with TemporaryDirectory(prefix="unitscope-site-") as data_dir:
        environment = {**os.environ, "UNITSCOPE_DATA_DIR": data_dir}
        index_demo(environment)
        yield from serve(environment)


def serve(environment: dict[str, str]) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment, cwd=ROOT) as server:
        try:
            await_site(f"http://127.0.0.1:{port}", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(60)


def index_demo(environment: dict[str, str]) -> None:
    dictionaries = [
        part
        for folder in sorted((ROOT / "demo" / "saes").iterdir())
        for part in ("--sae", str(folder))
    ]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "app.cli", "index", str(ROOT / "demo" / "model")),
            *("--name", "demo", "--corpus", "stdlib", "--tokens", str(N_TOKENS)),
            *dictionaries,
        ],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def await_site(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                assert answer.status == 200
                return
        except urllib.error.URLError:
            time.sleep(0.05)
    raise AssertionError(f"{url} does not answer")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium: Playwright's own cannot be downloaded everywhere."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    assert found, "No Chromium is installed: run `make test`, which installs one."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=QUIET_CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def strangers() -> list[str]:
    """Addresses on other hosts that a page of this test asked for."""
    return []


@pytest.fixture
def browse(browser: Browser, site: str, strangers: list[str]) -> Iterator[Browse]:
    """Opens pages; requests that would leave the host are refused and noted, script errors too."""
    contexts = []

    def guard(route: Route) -> None:
        if route.request.url.startswith((site, "data:", "blob:")):
            route.continue_()
        else:
            strangers.append(route.request.url)
            route.abort()

    def open_page(**options: Any) -> Page:
        context = browser.new_context(base_url=site, **options)
        contexts.append(context)
        context.set_default_timeout(15_000)
        context.route("**/*", guard)
        page = context.new_page()
        page.on("pageerror", lambda error: strangers.append(f"script error: {error}"))
        page.on(
            "console",
            lambda message: (
                strangers.append(f"console: {message.text}") if message.type == "error" else None
            ),
        )
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(browse: Browse) -> Page:
    return browse()
