"""The atlas's layout follows the windows taken; its shuffles do not depend on their order."""

import numpy as np
import torch

from workers.atlas import AtlasBuilder, AtlasLayout
from workers.sources.stored_windows import WindowBatch, batches_of


def packed(index: int, ids: list[int], uncounted: tuple[int, ...] = (0,)) -> tuple[object, ...]:
    return index, np.array(ids, dtype="<u4").tobytes(), uncounted, index == 3


ROWS = [packed(i, [9, *range(i, 2 * i + 1)]) for i in range(6)]


def build(batch_tokens: int, rows: list[tuple[object, ...]] = ROWS) -> AtlasLayout:
    builder = AtlasBuilder(5, np.array([1, 3, 4]), np.array([2, 7, 7]), 6)
    for batch in batches_of(rows, batch_tokens):
        builder.take(batch)
    return builder.layout()


def by_window(layout: AtlasLayout) -> dict[int, tuple[list[int], list[int], int]]:
    return {
        int(window): (
            layout.positions[layout.firsts[i] : layout.firsts[i + 1]].tolist(),
            layout.token_ids[layout.firsts[i] : layout.firsts[i + 1]].tolist(),
            int(layout.lengths[i]),
        )
        for i, window in enumerate(layout.windows)
    }


def test_only_counted_positions_of_sampled_windows_are_held() -> None:
    assert by_window(build(1000)) == {
        1: ([1, 2], [1, 2], 3),
        3: ([1, 2, 3, 4], [3, 4, 5, 6], 5),
        4: ([1, 2, 3, 4, 5], [4, 5, 6, 7, 8], 6),
    }


def test_windows_ascend_whatever_came_first() -> None:
    one, other = build(1000), build(6, ROWS[::-1])
    for layout in (one, other):
        assert layout.windows.tolist() == [1, 3, 4]
        assert layout.documents.tolist() == [2, 7, 7]
        assert layout.document_firsts.tolist() == [0, 2, 11]
        assert layout.share_sampled == 0.5
    assert one.token_ids.tolist() == other.token_ids.tolist()
    # Longest windows come first: 4's five positions, 3's four, then 1's two.
    assert one.places.tolist() == [6, 7, 8, 9, 10, 2, 3, 4, 5, 0, 1]


def test_shuffles_are_the_same_in_any_order_and_leave_duplicates_out() -> None:
    def visited(layout: AtlasLayout) -> list[tuple[int, int]]:
        windows = layout.windows[layout.window_slots]
        return [(int(windows[p]), int(layout.positions[p])) for p in layout.visit]

    one, other = build(1000), build(6, ROWS[::-1])
    assert visited(one) == visited(other)
    assert {window for window, _ in visited(one)} == {1, 4}
    chosen = [layout.windows[layout.visit_windows].tolist() for layout in (one, other)]
    assert chosen[0] == chosen[1]


def test_taken_rows_know_their_place_in_the_atlas() -> None:
    builder = AtlasBuilder(0, np.array([0, 1, 2]), np.zeros(3, dtype=int), 8)
    batch = WindowBatch(
        windows=torch.tensor([7, 2, 0, 1], dtype=torch.int32),
        token_ids=torch.zeros((4, 3), dtype=torch.long),
        lengths=torch.full((4,), 3, dtype=torch.int32),
        is_counted=torch.tensor([[True] * 3, [True] * 3, [False] * 3, [True, True, False]]),
        is_duplicate=torch.zeros(4, dtype=torch.bool),
    )
    taken = builder.take(batch)
    assert taken.rows.tolist() == [1, 2, 3]
    assert taken.firsts.tolist() == [0, 3, 3]
    rows, first = taken.between(2, 4)
    assert (rows.tolist(), first) == ([0, 1], 3)
    assert taken.between(0, 1)[0].tolist() == []


def test_batches_hold_every_window_once_with_padding_uncounted() -> None:
    seen = []
    for batch in batches_of(ROWS, 12):
        assert batch.token_ids.shape[0] * batch.token_ids.shape[1] <= 12
        for i, window in enumerate(batch.windows.tolist()):
            n = int(batch.lengths[i])
            seen.append(window)
            assert batch.token_ids[i, :n].tolist() == [9, *range(window, 2 * window + 1)]
            assert batch.is_counted[i].tolist() == [False] + [True] * (n - 1) + [False] * (
                len(batch.is_counted[i]) - n
            )
            assert bool(batch.is_duplicate[i]) == (window == 3)
    assert sorted(seen) == list(range(6))
