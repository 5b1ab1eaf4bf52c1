"""Takes the README's pictures: indexes the demo where it is not yet, serves it, photographs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from bench.site import await_answer, free_port

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
WIDTH = 1200
PICTURES = {
    "model": ("/demo", 900),
    "source": ("/demo/mlp-2?alive=true&sort=max&order=desc", 900),
    "unit": ("/demo/{source}/{index}", 1350),
    "rule": ("/search?model=demo&q=%2F%5Cbdef%5Cb%2F", 900),
    "evidence": ("/demo/transcoder-2/1970/test?rule=%2F%5Cbdef%5Cb%2F", 1150),
}
"""Each picture's address and height."""

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]


def photograph(browser: Browser, url: str, unit: str) -> None:
    """Every picture in the light scheme, and the unit in the dark one as well."""
    source, index = unit.split("/")
    for scheme in ("light", "dark"):
        page = browser.new_page(base_url=url, color_scheme=scheme)
        for name, (address, height) in PICTURES.items():
            if scheme == "dark" and name != "unit":
                continue
            page.set_viewport_size({"width": WIDTH, "height": height})
            page.goto(address.format(source=source, index=index), wait_until="networkidle")
            page.evaluate("document.fonts.ready.then(() => null)")
            suffix = "-dark" if scheme == "dark" else ""
            page.screenshot(path=IMAGES / f"{name}{suffix}.png")
        page.close()


def main() -> None:
    unit = sys.argv[1] if len(sys.argv) > 1 else "transcoder-2/984"
    chromium = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if chromium is None:
        sys.exit("No Chromium is installed: run `make setup-test`.")
    IMAGES.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "app.cli", "demo", "--port", str(port)]
    with subprocess.Popen(command, env=os.environ) as server:
        try:
            await_answer(f"http://127.0.0.1:{port}", server)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
                photograph(browser, f"http://127.0.0.1:{port}", unit)
                browser.close()
        finally:
            server.terminate()
            server.wait(60)


if __name__ == "__main__":
    main()
