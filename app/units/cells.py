"""Examples as rows of cells: what the page shows of a token window.

A cell is the shortest run of whole tokens that covers whole characters: most often one token; two
or more where a byte-level tokenizer cut a character (an emoji, an accent) in pieces. Joining the
texts of the counted cells gives the window's text, for any Unicode. Inside a cell the text is cut
into segments, so that spaces, tabs, line ends and characters that nobody can see can be drawn.

Cost: one pass over the tokens; the segments and the printed numbers of texts and values seen
before come from a cache, for a page repeats them thousands of times.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from app.numbers import format_activation
from app.units.schemas import Example, ExampleKind, Stats

SegmentKind = Literal["text", "space", "tab", "newline", "fold", "return", "hidden"]

# Cells before and after the position that an example is about which are shown at first. A causal
# model's activation depends on what stands before, so that side gets more.
NEAR_BEFORE = 28
NEAR_AFTER = 12

# Shares of the scale below this leave the paper white: no reader can tell them from zero.
FAINTEST_SHARE = 0.005

# Characters that act on their neighbours or cannot be seen: controls, format characters (bidi
# overrides among them), odd spaces and line separators. Joiners and variation selectors stay in
# the text, for emoji and several scripts need them.
_HIDDEN = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180e"
    "\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\ud800-\udfff\U000e0001"
)
_NAMES = {"\0": "NUL", "\x1b": "ESC", "\x7f": "DEL", "\xa0": "NBSP", "\ufeff": "BOM"}
_SEGMENTS = re.compile(
    "(?P<space> +)|(?P<tab>\t)|(?P<fold>\n(?=\n))|(?P<newline>\n)|(?P<return>\r)"
    f"|(?P<hidden>[{_HIDDEN}])|(?P<text>[^ \t\n\r{_HIDDEN}]+)"
)


class Segment(NamedTuple):
    """A run of a cell's text that is drawn in one way; `label` names a hidden character.

    A `fold` is a line end that another follows: drawn, but the line is broken at the last alone,
    so that empty lines take no room.
    """

    kind: SegmentKind
    text: str
    label: str


class Part(NamedTuple):
    """One token of a cell: its activation as printed, and its share of the page's scale.

    `share` is what the style sheet colours by: ".53" of the scale, "" where nothing is to colour.
    """

    value: str
    share: str
    is_negative: bool


class Cell(NamedTuple):
    """A run of tokens over whole characters.

    parts         the tokens of a split cell, one that several tokens share; else empty
    value, share  as a Part's, but for "" where the value is 0; a split cell has the values of
                  all its tokens, and no share, for each of its parts has its own
    flags         the style sheet's names: m is what the example is about, n negative, u put in
                  and not counted (BOS), s split over several tokens, r a rule holds here
    """

    segments: tuple[Segment, ...]
    parts: tuple[Part, ...]
    value: str
    share: str
    flags: str

    @property
    def text(self) -> str:
        """The characters of the window that the cell covers."""
        return "".join(segment.text for segment in self.segments)

    @property
    def is_counted(self) -> bool:
        """False for a token that was put in, such as BOS."""
        return "u" not in self.flags


class CellRow(NamedTuple):
    """An example's cells: the neighbourhood of its position, and what lies before and after."""

    before: list[Cell]
    near: list[Cell]
    after: list[Cell]


class ColourScale(NamedTuple):
    """What full colour stands for on a page, in the unit's own activation.

    above, below  the sizes of activation that take full colour in the hue of what is above and of
                  what is below zero; 0 where nothing is to colour
    words         what they are, for the page to state
    """

    above: float
    below: float
    words: str


def colour_scale(stats: Stats, kind: ExampleKind) -> ColourScale:
    """The scale of a list of examples: one for all of them, so that they can be compared.

    The unit's maximum is full colour for both hues, so that they too can be compared. In the list
    of the most negative activations, which would be pale then, and in units that are never
    positive, the minimum is full colour for what is below zero.
    """
    high, low = max(stats.max, 0.0), max(-stats.min, 0.0)
    minimum = f"minimum, {format_activation(stats.min)}"
    maximum = f"maximum, {format_activation(stats.max)}"
    if high == 0:
        return ColourScale(low, low, f"share of this unit’s {minimum}")
    if kind == "bottom" and low > 0:
        return ColourScale(
            high, low, f"below 0, share of this unit’s {minimum}; above 0, of its {maximum}"
        )
    also = "; the other hue is below 0" if low > 0 else ""
    return ColourScale(high, high, f"share of this unit’s {maximum}{also}")


def cell_row(example: Example, scale: ColourScale, matched: Collection[int] = ()) -> CellRow:
    """Lays an example out: the neighbourhood of `position` apart from the rest of the window.

    `matched`: tokens at which a rule holds; their cells are flagged.
    """
    spans = list(_spans(example.tokens, example.activations))
    cells = [_cell(example, first, last, scale) for first, last in spans]
    if matched:
        of_rule = set(matched)
        cells = [
            cell if of_rule.isdisjoint(range(*span)) else _flagged(cell, "r")
            for cell, span in zip(cells, spans, strict=True)
        ]
    marked = next((i for i, (_, last) in enumerate(spans) if example.position < last), 0)
    near_from, near_to = max(marked - NEAR_BEFORE, 0), marked + NEAR_AFTER + 1
    return CellRow(cells[:near_from], cells[near_from:near_to], cells[near_to:])


def _flagged(cell: Cell, flag: str) -> Cell:
    return cell._replace(flags=f"{cell.flags} {flag}".lstrip())


def _cell(example: Example, first: int, last: int, scale: ColourScale) -> Cell:
    """The cell of the tokens [first, last)."""
    tokens, value = example.tokens, example.activations[first]
    is_folded = last < len(tokens) and tokens[last].startswith("\n")
    pieces = segments(tokens[first], is_folded)
    mark = "m " if first <= example.position < last else ""
    if value is None:
        return Cell(pieces, (), "", "", mark + "u")
    if last > first + 1:
        values = example.activations[first:last]
        parts = tuple(_part(each, scale) for each in values if each is not None)
        return Cell(pieces, parts, " · ".join(part.value for part in parts), "", mark + "s")
    part = _part(value, scale)
    flags = mark + "n" if part.is_negative and part.share else mark.rstrip()
    printed = part.value if value else ""  # most latents are 0 nearly everywhere: said once
    return Cell(pieces, (), printed, part.share, flags)


def _spans(tokens: Sequence[str], activations: Sequence[float | None]) -> Iterator[tuple[int, int]]:
    """Runs [first, last) of tokens: a counted token without text joins the counted one before."""
    first = 0
    for position in range(1, len(tokens) + 1):
        at_end = position == len(tokens)
        if (
            not at_end
            and tokens[position] == ""
            and activations[position] is not None
            and activations[position - 1] is not None
        ):
            continue
        yield first, position
        first = position


def _part(value: float, scale: ColourScale) -> Part:
    return _printed(value, scale.above if value > 0 else scale.below)


@lru_cache(maxsize=65536)
def _printed(value: float, full: float) -> Part:
    share = min(abs(value) / full, 1.0) if full > 0 else 0.0
    if value == 0:
        return Part("0", "", is_negative=False)
    printed = f"{share:.2f}".lstrip("0").removesuffix(".00") if share >= FAINTEST_SHARE else ""
    return Part(format_activation(value), printed, value < 0)


@lru_cache(maxsize=65536)
def segments(text: str, is_folded: bool = False) -> tuple[Segment, ...]:
    """Cuts `text` into segments; their texts join to `text`. `is_folded`: a line end follows it."""
    found = []
    for match in _SEGMENTS.finditer(text):
        kind: SegmentKind = match.lastgroup  # type: ignore[assignment]
        piece = match.group()
        found.append(Segment(kind, piece, _label(piece) if kind == "hidden" else ""))
    if is_folded and found and found[-1].kind == "newline":
        found[-1] = Segment("fold", "\n", "")
    return tuple(found)


def _label(character: str) -> str:
    """What is drawn for a character that cannot be seen: a well-known name or its code point."""
    return _NAMES.get(character, f"{ord(character):04X}")
