"""`make bench`: takes the measurements of docs/measurements.md and prints them as Markdown.

`python -m bench SECTION ...` takes some of them. All together take about half an hour.
"""

import argparse
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from bench import answers, finishing, fire, memory, peers, rule_search, scan, similar, site, workers
from bench.models import DEMO_MODEL, GPT2_SMALL

N_TOKENS = 131_072
LIMITS = {
    "scan": 1.25,
    "first": 150.0,
    "second": 8.0,
    "memory": 3e9,
    "page": 0.040,
    "unit": 8192.0,
}


def line() -> Iterator[str]:
    """From a clone to pages."""
    timings = scan.measure(str(DEMO_MODEL), N_TOKENS)
    found = site.measure()
    yield "| | measured | aim | ÷ aim |"
    yield "|---|---|---|---|"
    yield row("scan of all neurons ÷ plain forward, same batches", timings.ratio, "scan", "×")
    size = f"{found.n_tokens:,} tokens, {found.n_units:,} units"
    yield row(f"demo, first run to a served site ({size})", found.first_run, "first", "s")
    yield row("demo, second run to a served site", found.second_run, "second", "s")
    yield row("demo, most memory held", found.peak_memory, "memory", "GB", 1e-9)
    yield row("a unit's page over HTTP, median", found.page_median, "page", "ms", 1e3)
    yield row("a unit's page over HTTP, 95th percentile", found.page_95th, "page", "ms", 1e3)
    yield row("a unit in the database", found.bytes_a_unit, "unit", "KB", 1 / 1024)


def row(name: str, value: float, limit: str, unit: str, factor: float = 1.0) -> str:
    """A line of the table: the figure, what it should be at most, and their ratio."""
    aim = LIMITS[limit]
    return f"| {name} | {value * factor:.3g} {unit} | {aim * factor:.3g} | {value / aim:.2f} |"


def scans() -> Iterator[str]:
    """The scan beside the plain forward."""
    yield from scan.table(scan.Asked())
    yield ""
    yield from scan.table(scan.Asked([GPT2_SMALL], [128, 1024], n_tokens=49_152))


def under_fire() -> list[str]:
    """Scans that are disturbed all the time, by twenty seeds."""
    return [fire.table(list(fire.burn(range(20), n_disturbances=30, n_workers=3)))]


SECTIONS: dict[str, Callable[[], Iterable[str]]] = {
    "line": line,
    "scan": scans,
    "peers": peers.table,
    "memory": memory.table,
    "finishing": finishing.table,
    "workers": workers.table,
    "growth": workers.growth_table,
    "similar": similar.table,
    "rules": rule_search.table,
    "answers": answers.table,
    "fire": under_fire,
}


def main() -> None:
    """Prints the sections asked for, each under its name and the load when it began."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", help=", ".join(SECTIONS))
    asked = parser.parse_args().sections or list(SECTIONS)
    if unknown := set(asked) - set(SECTIONS):
        parser.error(f"no section {min(unknown)}; there are {', '.join(SECTIONS)}")
    cores = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {cores}")
    for name in asked:
        print(f"\n## {name} (load {os.getloadavg()[0]:.1f})\n")
        for text in SECTIONS[name]():
            print(text, flush=True)


if __name__ == "__main__":
    main()
