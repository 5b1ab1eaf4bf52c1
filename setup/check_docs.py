"""Checks the documents against the code and the tree; `--write` renews what is generated.

- the settings table of the README says what `app.config.Settings` says;
- every relative link and image of a Markdown file leads to a file, and to a heading in it;
- no tracked file names a host other than the few below, or a path of the machine it was made on.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from app.config import Settings

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- settings: written by `make docs` -->", "<!-- end of settings -->"

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^#+\s+(.+?)\s*$", re.MULTILINE)
HOST = re.compile(r"\b(?:https?|ftp|git|ssh)://([A-Za-z0-9.\-\[\]:]+)")
MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:home|Users|root|work|builds?)/[\w.]")
ALLOWED_HOSTS = re.compile(
    r"(?:localhost|127\.0\.0\.1|\[::1\]|testserver|(?:[\w-]+\.)*example(?:\.\w+)?"
    r"|www\.w3\.org|[\w.-]+\.invalid|a|host)(?::\d*)?\.?"
)


def settings_table() -> str:
    """The settings as a Markdown table."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `UNITSCOPE_{name.upper()}` | {_default(field)} | {field.description} |")
    return "\n".join(rows)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "the user's data directory for applications"
    return "none" if field.default is None else f"`{field.default}`"


def renewed_readme() -> str:
    """The README with the settings table as it should be."""
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        sys.exit(f"README.md lacks the marks {BEGIN!r} and {END!r} around the settings table.")
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{after}"


def stale_table() -> Iterator[str]:
    if README.read_text() != renewed_readme():
        yield "README.md: the settings table is stale; run `make docs`"


def broken_links() -> Iterator[str]:
    for path in tracked():
        if path.suffix != ".md":
            continue
        prose = CODE_SPAN.sub("", CODE_BLOCK.sub("", path.read_text()))
        for target in LINK.findall(prose):
            if "://" not in target and not target.startswith("mailto:"):
                yield from _check_link(path, target)


def _check_link(path: Path, target: str) -> Iterator[str]:
    name, _, anchor = target.partition("#")
    linked = (path.parent / name).resolve() if name else path
    if not linked.exists():
        yield f"{path.relative_to(ROOT)}: the link {target} leads nowhere"
    elif anchor and linked.suffix == ".md" and anchor not in anchors(linked.read_text()):
        yield f"{path.relative_to(ROOT)}: {name or path.name} has no heading for #{anchor}"


def anchors(markdown: str) -> set[str]:
    """The anchors that a viewer gives to the headings."""
    headings = HEADING.findall(CODE_BLOCK.sub("", markdown))
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def named_places() -> Iterator[str]:
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        where = path.relative_to(ROOT)
        for host in HOST.findall(text):
            if not ALLOWED_HOSTS.fullmatch(host):
                yield f"{where}: names the host {host}"
        for found in {match.group() for match in MACHINE_PATH.finditer(text)}:
            yield f"{where}: names a path of some machine, {found}…"


def tracked() -> list[Path]:
    """Files under version control that are there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    paths = (ROOT / name for name in listed.split("\0") if name)
    return [path for path in paths if path.is_file()]


def main() -> None:
    if "--write" in sys.argv[1:]:
        README.write_text(renewed_readme())
    faults = [*stale_table(), *broken_links(), *named_places()]
    for fault in faults:
        print(fault)
    if faults:
        sys.exit(1)
    print("The documents agree with the code and the tree.")


if __name__ == "__main__":
    main()
