"""The plot of precision and recall over the threshold."""

from app.rule_search.schemas import AtThreshold
from app.rule_search.threshold_plot import threshold_plot


def _at(threshold: float, precision: float | None, recall: float | None) -> AtThreshold:
    return AtThreshold(threshold=threshold, precision=precision, recall=recall, mcc=None)


FOUND = [_at(0, 0.5, 1), _at(1, 0.75, 0.5), _at(2, None, 0.25), _at(3, 1, 0), _at(4, 1, 0)]


def test_lines_go_from_all_at_the_top_to_nothing_on_the_axis() -> None:
    plot = threshold_plot(FOUND, 1.0, str, width=100, height=40)
    assert plot is not None
    assert plot.recall == ("0.0,0.0 20.0,20.0 40.0,30.0 60.0,40.0 80.0,40.0",)
    assert plot.at == 20.0


def test_a_line_is_broken_where_the_figure_is_undefined() -> None:
    plot = threshold_plot(FOUND, 1.0, str, width=100, height=40)
    assert plot is not None
    assert plot.precision == ("0.0,20.0 20.0,10.0", "60.0,0.0 80.0,0.0")


def test_every_step_leads_to_the_report_at_its_threshold() -> None:
    plot = threshold_plot(FOUND, 9.0, lambda value: f"?threshold={value:g}")
    assert plot is not None
    assert [step.href for step in plot.steps] == [f"?threshold={i}" for i in range(5)]
    assert "precision 75.0%, recall 50.0%, MCC undefined" in plot.steps[1].label
    assert plot.at is None


def test_a_unit_that_is_never_above_0_has_no_plot() -> None:
    assert threshold_plot([], 0.0, str) is None
