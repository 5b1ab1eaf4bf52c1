"""Metrics: Prometheus's text, with histograms that add up."""

from app.metrics import BOUNDS, Metrics


def test_buckets_are_cumulative_and_end_in_the_count() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.005, 0.3, 99.0):
        metrics.observe("GET", "/{model}", 200, seconds)
    lines = metrics.render().splitlines()
    name = "unitscope_http_request_duration_seconds"
    buckets = [line.rsplit(" ", 1) for line in lines if line.startswith(f"{name}_bucket")]
    counts = [int(count) for _, count in buckets]
    assert counts == sorted(counts)
    assert len(counts) == len(BOUNDS) + 1
    assert counts[0] == 2  # a bound is inside its bucket
    assert counts[-1] == 4
    assert f'{name}_count{{route="/{{model}}"}} 4' in lines
    assert 'unitscope_http_requests_total{method="GET",route="/{model}",status="200"} 4' in lines


def test_labels_are_escaped() -> None:
    metrics = Metrics()
    metrics.observe("GET", 'a"b\\c\nd', 200, 0.1)
    assert r'route="a\"b\\c\nd"' in metrics.render()


def test_gauges_are_told_with_their_meaning() -> None:
    text = Metrics().render([("connections", "At work.", 3.0)])
    assert "# HELP connections At work.\n# TYPE connections gauge\nconnections 3\n" in text
