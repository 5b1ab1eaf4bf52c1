"""Scans by workers that are killed, frozen and cut off while PostgreSQL breaks down, fills up and
hangs: does each find what an undisturbed scan finds, and how much is scanned twice?

Every seed draws its own disturbances, on a PostgreSQL server of its own folder that is stopped and
started under the workers. `tests/fire.py` says what they are.

`python -m bench.fire --seeds 20`
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.databases import server_cluster
from tests.fire import FireReport, scan_under_fire, scan_undisturbed, small_request
from tests.fire_worker import FireSettings
from tests.tiny_models import make_model
from workers.sources.quiet import quiet


def burn(seeds: Sequence[int], n_disturbances: int, n_workers: int) -> Iterator[FireReport]:
    """One report a seed."""
    with TemporaryDirectory(prefix="unitscope-fire-") as name:
        folder = Path(name)
        with quiet():
            request = small_request(make_model("gpt2", folder / "tiny-gpt2"), folder)
        server = folder / "server"
        server.mkdir()
        with server_cluster(server) as cluster:
            wanted = scan_undisturbed(cluster, request)[1]
            for seed in seeds:
                data_dir = folder / f"seed-{seed}"
                data_dir.mkdir()
                yield scan_under_fire(
                    cluster,
                    data_dir,
                    request,
                    wanted,
                    seed,
                    n_workers=n_workers,
                    n_disturbances=n_disturbances,
                    settings=FireSettings("", data_dir, slowness=0.03),
                )


def table(reports: Sequence[FireReport]) -> str:
    """What came of all of them, in Markdown."""
    kinds = Counter(kind for report in reports for kind in report.disturbances)
    shares = [report.share_repeated for report in reports]
    rows = {
        "seeds": f"{len(reports)}",
        "disturbances": f"{kinds.total():,}",
        **{f"… {name.replace('_', ' ')}": f"{n:,}" for name, n in kinds.most_common()},
        "rows that differ from the undisturbed scan's": f"{_n_different(reports):,}",
        "tracebacks on workers' consoles": f"{_n_tracebacks(reports):,}",
        "tokens scanned again, median": f"{median(shares):.1%}",
        "tokens scanned again, at worst": f"{max(shares):.1%}",
        "seconds a scan, median": f"{median(report.seconds for report in reports):.1f}",
    }
    lines = (f"| {name} | {value} |" for name, value in rows.items())
    return "\n".join(["| under fire | |", "|---|---|", *lines])


def _n_different(reports: Sequence[FireReport]) -> int:
    return sum(len(report.differences) for report in reports)


def _n_tracebacks(reports: Sequence[FireReport]) -> int:
    return sum(report.logs.count("Traceback (most") for report in reports)


def main() -> None:
    """Prints the table; fails where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--disturbances", type=int, default=30, help="of each scan")
    parser.add_argument("--workers", type=int, default=3)
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.seeds)
    reports = list(burn(seeds, asked.disturbances, asked.workers))
    print(table(reports))
    for report in reports:
        for difference in report.differences:
            print(f"seed {report.seed}: {difference}")
    if _n_different(reports) or _n_tracebacks(reports):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
