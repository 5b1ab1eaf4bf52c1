"""`make bench`: takes the measurements of docs/measurements.md and prints them as Markdown."""

import os
import platform
from datetime import UTC, datetime

from bench import scan, site
from bench.models import DEMO_MODEL

N_TOKENS = 131_072
LIMITS = {
    "scan": 1.6,
    "first": 150.0,
    "second": 8.0,
    "memory": 3e9,
    "page": 0.040,
    "unit": 8192.0,
}


def main() -> None:
    timings = scan.measure(str(DEMO_MODEL), N_TOKENS)
    found = site.measure()
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    print()
    print("| | measured | aim | ÷ aim |")
    print("|---|---|---|---|")
    print(row("scan of all neurons ÷ plain forward, same batches", timings.ratio, "scan", "×"))
    size = f"{found.n_tokens:,} tokens, {found.n_units:,} units"
    print(row(f"demo, first run to a served site ({size})", found.first_run, "first", "s"))
    print(row("demo, second run to a served site", found.second_run, "second", "s"))
    print(row("demo, most memory held", found.peak_memory, "memory", "GB", 1e-9))
    print(row("a unit's page over HTTP, median", found.page_median, "page", "ms", 1e3))
    print(row("a unit's page over HTTP, 95th percentile", found.page_95th, "page", "ms", 1e3))
    print(row("a unit in the database", found.bytes_a_unit, "unit", "KB", 1 / 1024))


def row(name: str, value: float, limit: str, unit: str, factor: float = 1.0) -> str:
    """A line of the table: the figure, what it should be at most, and their ratio."""
    aim = LIMITS[limit]
    return f"| {name} | {value * factor:.3g} {unit} | {aim * factor:.3g} | {value / aim:.2f} |"


if __name__ == "__main__":
    main()
