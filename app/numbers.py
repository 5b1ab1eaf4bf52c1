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
