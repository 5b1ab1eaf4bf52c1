"""How numbers are printed."""

import pytest

from app.numbers import (
    format_activation,
    format_correlation,
    format_count,
    format_share,
    format_share_with_error,
    format_short_count,
    format_tick,
)


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (0.0, "0"),
        (3.21456, "3.21"),
        (0.0123456, "0.0123"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
        (999.6, "1,000"),
        (0.09999, "0.100"),
        (-0.1699, "−0.170"),
        (4.12e-5, "4.1e−5"),
        (3e-5, "3e−5"),
        (2.5e7, "2.5e7"),
        (float("inf"), "inf"),
    ],
)
def test_activations_have_three_digits_and_a_real_minus(value: float, printed: str) -> None:
    assert format_activation(value) == printed


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (0.0, "0%"),
        (0.41, "41.0%"),
        (0.0035, "0.350%"),
        (0.12345, "12.3%"),
        (1e-7, "0.000010%"),
        (1.7e-6, "0.00017%"),
        (1.0, "100%"),
    ],
)
def test_shares_are_percentages(value: float, printed: str) -> None:
    assert format_share(value) == printed


def test_only_all_is_printed_as_all() -> None:
    assert format_share(0.999999) == "> 99.9%"


def test_counts_are_grouped_or_shortened() -> None:
    assert format_count(1234567) == "1,234,567"
    assert [format_short_count(n) for n in (512, 65536, 2_630_000, 1_200_000_000)] == [
        "512",
        "65.5k",
        "2.63M",
        "1.2B",
    ]


def test_ticks_have_no_trailing_zeros() -> None:
    assert [format_tick(v) for v in (0.0, 5.0, -0.25, 1000.0, 2e-5)] == [
        "0",
        "5",
        "−0.25",
        "1,000",
        "2e−5",
    ]


@pytest.mark.parametrize(
    ("share", "error", "printed"),
    [
        (0.123, 0.004, "12.3 ± 0.4%"),
        (0.51204, 0.0014, "51.20 ± 0.14%"),
        (0.5, 0.03, "50 ± 3%"),
        (0.5, 0.12, "50 ± 12%"),
        (0.00012, 0.00003, "0.012 ± 0.003%"),
        (0.41, None, "41.0%"),
        (1.0, 0.0, "100%"),
        (0.41, float("nan"), "41.0%"),
        (0.41, float("inf"), "41.0%"),
    ],
)
def test_a_share_ends_where_its_error_does(share: float, error: float | None, printed: str) -> None:
    assert format_share_with_error(share, error) == printed


@pytest.mark.parametrize(
    ("value", "printed"),
    [(1.0, "1.000"), (0.99951, "> 0.999"), (0.8734, "0.873"), (-0.12, "−0.120"), (-1e-9, "0.000")],
)
def test_correlations_have_three_decimals_and_only_1_is_printed_as_1(
    value: float, printed: str
) -> None:
    assert format_correlation(value) == printed
