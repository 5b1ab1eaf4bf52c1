"""How numbers are printed on pages: short, aligned, with a real minus sign."""

import math

MINUS = "\N{MINUS SIGN}"
_LARGEST_PLAIN, _SMALLEST_PLAIN = 1e6, 1e-3
_TWO_DIGITS = 99.9  # below, three digits always have a decimal point in them


def format_activation(value: float) -> str:
    """Three significant digits: 3.21, 0.0123, 12.3, 1,234, 4.1e−5."""
    if value == 0:
        return "0"
    if _SMALLEST_PLAIN <= abs(value) < _TWO_DIGITS:  # nearly all: a page prints thousands
        return f"{value:#.3g}" if value > 0 else f"{MINUS}{-value:#.3g}"
    if not math.isfinite(value):
        return str(value).replace("-", MINUS)
    rounded = float(f"{value:.3g}")
    size = abs(rounded)
    if not _SMALLEST_PLAIN <= size < _LARGEST_PLAIN:
        return _scientific(value)
    decimals = max(2 - math.floor(math.log10(size)), 0)
    return f"{rounded if decimals else value:,.{decimals}f}".replace("-", MINUS)


def format_count(value: int) -> str:
    """Whole numbers with commas: 1,234,567."""
    return f"{value:,}".replace("-", MINUS)


def format_short_count(value: int) -> str:
    """Large counts in short: 512, 65.5k, 2.63M, 1.2B."""
    for size, suffix in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:.3g}{suffix}"
    return str(value)


def format_share(value: float) -> str:
    """A share of one as a percentage with three significant digits: 41.0%, 0.350%.

    Only all is 100%, and only nothing is 0%: what rounds there is printed as > 99.9%, or with as
    many decimals as two digits need (0.00017%).
    """
    percent = value * 100
    if percent in (0, 100):
        return f"{percent:.0f}%"
    if 99.95 <= percent < 100:
        return "> 99.9%"
    if 0 < percent < _SMALLEST_PLAIN:
        return f"{percent:.{1 - math.floor(math.log10(percent))}f}%"
    return f"{format_activation(percent)}%"


def format_share_with_error(value: float, error: float | None) -> str:
    """A share and its standard error as percentages: 12.3 ± 0.4%, 51.20 ± 0.14%.

    Both end where the error's first digit is, or its second where the first is 1. The share alone
    where there is no error, or none above 0.
    """
    if error is None or not 0 < error < math.inf:
        return format_share(value)
    percent = error * 100
    n_digits = 2 if f"{percent:.1e}".startswith("1") else 1
    decimals = max(n_digits - 1 - math.floor(math.log10(percent)), 0)
    return f"{value * 100:.{decimals}f} ± {percent:.{decimals}f}%"


def format_correlation(value: float) -> str:
    """A correlation or cosine with three decimals: 0.873, −0.120; only 1 is 1.000."""
    if 0.9995 <= value < 1:
        return "> 0.999"
    return f"{round(value, 3) + 0.0:.3f}".replace("-", MINUS)


def format_tick(value: float) -> str:
    """A round number on an axis, without trailing zeros: 5, 0.25, 2e−5."""
    if value == 0 or _SMALLEST_PLAIN <= abs(value) < _LARGEST_PLAIN:
        return f"{value:,.10g}".replace("-", MINUS)
    return _scientific(value)


def format_share_tick(value: float) -> str:
    """A round share of one on an axis, as a plain percentage: 10%, 0.0001%."""
    return f"{value * 100:.10f}".rstrip("0").rstrip(".") + "%"


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", MINUS)
