"""Cells: whole characters across their tokens, nothing lost, everything visible named."""

from hypothesis import given
from hypothesis import strategies as st

from app.numbers import format_activation
from app.units.cells import (
    NEAR_AFTER,
    NEAR_BEFORE,
    Cell,
    CellRow,
    ColourScale,
    cell_row,
    colour_scale,
    segments,
)
from app.units.schemas import Example, Histogram, Stats

SCALE = ColourScale(4.0, 4.0, "share of this unit’s maximum, 4.00")

# Texts that a tokenizer cut anywhere: a counted token, one without characters of its own (the
# character is in the token before), and a put-in token.
counted = st.tuples(st.text(max_size=6), st.floats(-5, 5, width=32))
put_in = st.tuples(st.just("<|bos|>"), st.none())
token_runs = st.lists(st.one_of(counted, counted, put_in), min_size=1, max_size=80)


def example(tokens: list[str], activations: list[float | None], position: int = 0) -> Example:
    text = "".join(t for t, a in zip(tokens, activations, strict=True) if a is not None)
    return Example(
        corpus="c",
        window=0,
        document="d",
        char_start=0,
        text=text,
        token_ids=list(range(len(tokens))),
        tokens=tokens,
        activations=activations,
        max_activation=1.0,
        max_position=position,
        position=position,
        activation=1.0,
        interval=None,
    )


def stats(low: float, high: float) -> Stats:
    return Stats(
        corpus="c",
        n_tokens=1,
        n_active=1,
        density=1.0,
        max=high,
        min=low,
        mean=0.0,
        std=0.0,
        skewness=None,
        kurtosis=None,
        histogram=Histogram(edges=[], counts=[], n_zero=0, n_positions=0),
        intervals=[],
    )


def all_cells(row: CellRow) -> list[Cell]:
    return [*row.before, *row.near, *row.after]


@given(token_runs, st.data())
def test_counted_cells_join_to_the_windows_text(
    run: list[tuple[str, float | None]], data: st.DataObject
) -> None:
    tokens, activations = [t for t, _ in run], [a for _, a in run]
    position = data.draw(st.integers(0, len(run) - 1))
    shown = example(tokens, activations, position)
    row = cell_row(shown, SCALE)
    assert "".join(cell.text for cell in all_cells(row) if cell.is_counted) == shown.text


@given(token_runs)
def test_every_counted_token_keeps_its_own_value(run: list[tuple[str, float | None]]) -> None:
    tokens, activations = [t for t, _ in run], [a for _, a in run]
    cells = all_cells(cell_row(example(tokens, activations), SCALE))
    shown = [value or "0" for c in cells if c.is_counted for value in c.value.split(" · ")]
    assert shown == [format_activation(a) for a in activations if a is not None]


@given(token_runs, st.data())
def test_exactly_one_cell_is_marked_and_it_is_near(
    run: list[tuple[str, float | None]], data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(run) - 1))
    row = cell_row(example([t for t, _ in run], [a for _, a in run], position), SCALE)
    assert sum("m" in cell.flags for cell in all_cells(row)) == 1
    assert any("m" in cell.flags for cell in row.near)


@given(st.text())
def test_segments_join_to_their_text(text: str) -> None:
    assert "".join(segment.text for segment in segments(text)) == text


def test_segments_name_what_cannot_be_seen() -> None:
    found = [(s.kind, s.label) for s in segments("a \t\n\r\0\u202e\xa0")]
    assert found == [
        ("text", ""),
        ("space", ""),
        ("tab", ""),
        ("newline", ""),
        ("return", ""),
        ("hidden", "NUL"),
        ("hidden", "202E"),
        ("hidden", "NBSP"),
    ]


def test_joiners_inside_an_emoji_stay_in_its_text() -> None:
    family = "\U0001f469\u200d\U0001f467\ufe0f"
    assert [s.kind for s in segments(family)] == ["text"]


def test_a_character_over_three_tokens_is_one_cell_with_three_values() -> None:
    row = cell_row(example(["x", "😀", "", "", "y"], [0.0, 1.0, -2.0, 4.0, 0.0], 2), SCALE)
    cell = all_cells(row)[1]
    assert cell.text == "😀"
    assert cell.value == "1.00 · −2.00 · 4.00"
    assert [(p.share, p.is_negative) for p in cell.parts] == [
        (".25", False),
        (".50", True),
        ("1", False),
    ]
    assert cell.flags == "m s"


def test_a_token_without_text_does_not_join_a_put_in_token() -> None:
    row = cell_row(example(["<bos>", "", "a"], [None, 1.0, 0.0], 1), SCALE)
    assert [cell.text for cell in all_cells(row)] == ["<bos>", "", "a"]


def test_shares_are_clipped_and_faint_ones_are_left_out() -> None:
    row = cell_row(example(["a", "b", "c"], [9.0, 0.001, -1.0]), SCALE)
    assert [cell.share for cell in all_cells(row)] == ["1", "", ".25"]
    assert [cell.flags for cell in all_cells(row)] == ["m", "", "n"]


def test_the_neighbourhood_is_cut_by_cells() -> None:
    n = 100
    row = cell_row(example(["a"] * n, [0.0] * n, 50), SCALE)
    assert len(row.before) == 50 - NEAR_BEFORE
    assert len(row.near) == NEAR_BEFORE + 1 + NEAR_AFTER
    assert len(row.after) == n - 50 - 1 - NEAR_AFTER


def test_full_colour_is_the_maximum_except_where_the_list_is_about_the_minimum() -> None:
    assert colour_scale(stats(-0.2, 3.0), "top")[:2] == (3.0, 3.0)
    assert colour_scale(stats(-0.2, 3.0), "bottom")[:2] == (3.0, 0.2)
    assert colour_scale(stats(-0.2, -0.1), "top")[:2] == (0.2, 0.2)
    assert colour_scale(stats(0.0, 0.0), "top")[:2] == (0.0, 0.0)


def test_each_hue_has_its_own_full_colour() -> None:
    scale = colour_scale(stats(-0.2, 4.0), "bottom")
    row = cell_row(example(["a", "b"], [-0.2, 1.0]), scale)
    assert [cell.share for cell in all_cells(row)] == ["1", ".25"]


def test_cells_of_tokens_where_a_rule_holds_are_flagged_whole() -> None:
    shown = example(["<bos>", "😀", "", "b", "c"], [None, 0.0, 1.0, -1.0, 2.0], 3)
    row = cell_row(shown, SCALE, [2, 3])
    assert [cell.flags for cell in all_cells(row)] == ["u", "s r", "m n r", ""]
    plain = cell_row(shown, SCALE)
    assert all("r" not in cell.flags for cell in all_cells(plain))


def test_a_line_is_broken_at_the_last_of_several_line_ends() -> None:
    row = cell_row(example(["a\n\n", "\n", "b\n"], [0.0, 0.0, 0.0]), SCALE)
    kinds = [segment.kind for cell in all_cells(row) for segment in cell.segments]
    assert kinds == ["text", "fold", "fold", "newline", "text", "newline"]
