"""Counts and durations of requests in Prometheus's text format, for this process.

Under `serve --workers N` each process has its own; a scrape sees one of them, which
`unitscope_info{pid}` names. Routes are counted by their template, so that no address from outside
becomes a label.
"""

import os
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from importlib.metadata import version

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STARTED = time.time()


class Metrics:
    """What this process has answered. Touched only from the event loop, so without a lock."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.buckets: dict[str, list[int]] = defaultdict(lambda: [0] * (len(BOUNDS) + 1))
        self.seconds: Counter[str] = Counter()
        self.n_in_flight = 0

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one finished request."""
        self.requests[method, route, status] += 1
        self.buckets[route][bisect_left(BOUNDS, seconds)] += 1
        self.seconds[route] += seconds  # type: ignore[assignment] # a Counter of floats

    def render(self, extra: Iterable[tuple[str, str, float]] = ()) -> str:
        """The text format; `extra` are gauges as (name, help, value)."""
        return "\n".join(self._lines(extra)) + "\n"

    def _lines(self, extra: Iterable[tuple[str, str, float]]) -> Iterator[str]:
        yield from _head("unitscope_info", "gauge", "The software and the process.")
        yield f'unitscope_info{{version="{version("unitscope")}",pid="{os.getpid()}"}} 1'
        yield from _head("process_start_time_seconds", "gauge", "When the process started.")
        yield f"process_start_time_seconds {STARTED:.3f}"
        gauge = ("unitscope_http_requests_in_flight", "Requests being answered.", self.n_in_flight)
        for name, meaning, value in (gauge, *extra):
            yield from _head(name, "gauge", meaning)
            yield f"{name} {value:g}"
        yield from _head("unitscope_http_requests_total", "counter", "Requests answered.")
        for (method, route, status), n in sorted(self.requests.items()):
            labels = f'method="{method}",route="{_escape(route)}",status="{status}"'
            yield f"unitscope_http_requests_total{{{labels}}} {n}"
        yield from self._durations()

    def _durations(self) -> Iterator[str]:
        name = "unitscope_http_request_duration_seconds"
        yield from _head(name, "histogram", "Time to answer, by route.")
        for route, counts in sorted(self.buckets.items()):
            label, total = f'route="{_escape(route)}"', 0
            for bound, n in zip((*BOUNDS, "+Inf"), counts, strict=True):
                total += n
                yield f'{name}_bucket{{{label},le="{bound}"}} {total}'
            yield f"{name}_sum{{{label}}} {self.seconds[route]:.6f}"
            yield f"{name}_count{{{label}}} {total}"


class Measured:
    """Observes every request in `metrics`."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, begin = 500, time.perf_counter()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.metrics.n_in_flight += 1
        try:
            await self.app(scope, receive, note)
        finally:
            self.metrics.n_in_flight -= 1
            seconds = time.perf_counter() - begin
            self.metrics.observe(_method(scope), _route(scope), status, seconds)


def _route(scope: Scope) -> str:
    route = scope.get("route")
    path = getattr(route, "path", None)
    return str(path) if path else "none"


def _method(scope: Scope) -> str:
    known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    return scope["method"] if scope["method"] in known else "other"


def _head(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"


def _escape(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
