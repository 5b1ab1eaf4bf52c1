"""Whatever workers scan which windows, and whenever they flush, they merge to one result."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.naive_scan import Window
from tests.property.activations import batchings, scans, tensors
from workers.kernels import extremes, fused, moments
from workers.kernels.extremes import NO_WINDOW, Extremes
from workers.partials import drawn_first, encode_block, greatest_first, least_first, merge_block

CONTEXT, K, SEED = 6, 3, 7
RANKS = {"top": greatest_first, "bottom": least_first, "active": drawn_first(SEED)}


class Worker:
    """Lists that go on from flush to flush; moments that do not."""

    def __init__(self, n_units: int, n_windows: int) -> None:
        self.top = extremes.empty(n_units, K, CONTEXT, 1)
        self.bottom = extremes.empty(n_units, K, CONTEXT, -1)
        self.active = extremes.empty(n_units, K, CONTEXT, 1, seed=SEED)
        self.n_units, self.n_windows = n_units, n_windows

    def flush(self, windows: list[Window]) -> bytes:
        state = moments.empty(self.n_units)
        fused.update(state, self.top, self.bottom, *tensors(windows), active=self.active)
        is_fresh = torch.zeros(self.n_windows, dtype=torch.bool)
        is_fresh[[window.index for window in windows]] = True
        lists = {"top": self.top, "bottom": self.bottom, "active": self.active}
        return encode_block(state, lists, is_fresh, 0, self.n_units)


def cut(levels: np.ndarray, windows: list[int], scanned: list[Window]) -> list[bytes]:
    """Without what stands behind each window's end, where a slot's last window was longer."""
    lengths = {window.index: len(window.x) for window in scanned}
    return [bytes(row[: lengths[w]]) for row, w in zip(levels, windows, strict=True)]


def listed(state: Extremes, unit: int, scanned: list[Window]) -> list[tuple[object, ...]]:
    ordered = extremes.ordered(state)
    n = int((ordered.windows[unit] != NO_WINDOW).sum())
    fields = ("values", "windows", "positions", "max_positions", "lows", "highs")
    rows = zip(*(getattr(ordered, field)[unit, :n].tolist() for field in fields), strict=True)
    windows = ordered.windows[unit, :n].tolist()
    levels = cut(ordered.levels[unit, :n].numpy(), windows, scanned)
    return [(*row, level) for row, level in zip(rows, levels, strict=True)]


@given(data=st.data(), windows=scans(), n_workers=st.integers(1, 3))
def test_flushes_of_several_workers_merge_to_one_scan(
    data: st.DataObject, windows: list[Window], n_workers: int
) -> None:
    n_units = windows[0].x.shape[1]
    parts = data.draw(batchings(windows))
    workers = [Worker(n_units, len(windows)) for _ in range(n_workers)]
    chosen = [data.draw(st.integers(0, n_workers - 1)) for _ in parts]
    payloads = [workers[who].flush(part) for who, part in zip(chosen, parts, strict=True)]
    shuffled = data.draw(st.permutations(payloads))
    merged = merge_block(shuffled, dict.fromkeys(RANKS, K), RANKS)

    whole = Worker(n_units, len(windows))
    state = moments.empty(n_units)
    fused.update(state, whole.top, whole.bottom, *tensors(windows), active=whole.active)
    for name, lists in (("top", whole.top), ("bottom", whole.bottom), ("active", whole.active)):
        for unit in range(n_units):
            found = merged.lists[name].of(unit)
            fields = ("values", "windows", "positions", "max_positions", "lows", "highs")
            rows = list(zip(*(found[field].tolist() for field in fields), strict=True))
            levels = cut(found["levels"], found["windows"].tolist(), windows)
            in_order = [(*row, level) for row, level in zip(rows, levels, strict=True)]
            assert in_order == listed(lists, unit, windows)
    assert merged.moments.n_tokens == state.n_tokens
    assert merged.moments.n_active.tolist() == state.n_active.tolist()
    assert merged.moments.max.tolist() == state.max.tolist()
    assert merged.moments.min.tolist() == state.min.tolist()
    np.testing.assert_allclose(merged.moments.sums, state.sums, rtol=1e-6, atol=1e-6)


@given(windows=scans())
def test_a_flush_that_comes_twice_changes_no_list(windows: list[Window]) -> None:
    payload = Worker(windows[0].x.shape[1], len(windows)).flush(windows)
    once, twice = (merge_block([payload] * n, dict.fromkeys(RANKS, K), RANKS) for n in (1, 2))
    for name in RANKS:
        assert once.lists[name].starts.tolist() == twice.lists[name].starts.tolist()
        for field, array in once.lists[name].arrays.items():
            assert (array == twice.lists[name].arrays[field]).all()
