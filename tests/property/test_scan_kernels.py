"""Moments and extremes equal naive loops, whatever the batching, the order and the ties."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import naive_scan
from tests.naive_scan import NaiveExample, Window
from tests.property.activations import batchings, scans, tensors
from workers import scan
from workers.kernels import extremes, fused, moments, sampling, window_stats
from workers.kernels.extremes import NO_WINDOW, Extremes
from workers.kernels.moments import Moments

CONTEXT, SEED = 6, 2**63 + 11


def key_of(window: int) -> int:
    """The window's place in the draw."""
    return int(sampling.draw_keys(np.array([window]), SEED)[0])


@dataclass
class State:
    moments: Moments
    top: Extremes
    bottom: Extremes
    active: Extremes


def new_state(n_units: int, k: int) -> State:
    return State(
        moments.empty(n_units),
        extremes.empty(n_units, k, CONTEXT, 1),
        extremes.empty(n_units, k, CONTEXT, -1),
        extremes.empty(n_units, k, CONTEXT, 1, seed=SEED),
    )


def add_compiled(state: State, batch: list[Window]) -> None:
    given = (state.moments, state.top, state.bottom)
    assert fused.update(*given, *tensors(batch), active=state.active) == -1


def add_plain(state: State, batch: list[Window]) -> None:
    x, windows, is_counted, is_duplicate = tensors(batch)
    assert window_stats.read(x, is_counted, 0).first_bad == -1
    moments.update(state.moments, x, is_counted)
    for side in (state.top, state.bottom, state.active):
        extremes.update(side, x, windows, is_counted, is_duplicate)


def add_on_device(state: State, batch: list[Window]) -> None:
    """The way of a GPU, here on the CPU."""
    lists = {"top": state.top, "bottom": state.bottom, "active": state.active}
    x, *given = tensors(batch)
    sums = moments.view(state.moments, slice(None))
    assert scan.update_on_device(sums, lists, x, *given) == -1
    state.moments.n_tokens += sums.n_tokens


EACH = pytest.mark.parametrize("add", [add_compiled, add_plain, add_on_device])


def examples_of(state: Extremes, unit: int, scanned: list[Window]) -> list[NaiveExample]:
    """The unit's list in its order, levels cut to each window's tokens."""
    ordered = extremes.ordered(state)
    lengths = {window.index: len(window.x) for window in scanned}
    found = []
    for slot in range(ordered.values.shape[1]):
        window = int(ordered.windows[unit, slot])
        if window == NO_WINDOW:
            continue
        levels = ordered.levels[unit, slot, : lengths[window]].tolist()
        found.append(
            NaiveExample(
                float(ordered.values[unit, slot]),
                window,
                int(ordered.positions[unit, slot]),
                int(ordered.max_positions[unit, slot]),
                float(ordered.lows[unit, slot]),
                float(ordered.highs[unit, slot]),
                tuple(levels),
            )
        )
    return found


def check(state: State, scanned: list[Window], k: int) -> None:
    for unit in range(scanned[0].x.shape[1]):
        for side in (state.top, state.bottom):
            expected = naive_scan.extremes(scanned, unit, k, side.sign)
            assert examples_of(side, unit, scanned) == expected
        expected = naive_scan.active_sample(scanned, unit, k, key_of)
        assert examples_of(state.active, unit, scanned) == expected
        expected_moments = naive_scan.moments(scanned, unit)
        found = state.moments
        assert found.n_tokens == expected_moments.n_tokens
        assert int(found.n_active[unit]) == expected_moments.n_active
        assert float(found.max[unit]) == expected_moments.max
        assert float(found.min[unit]) == expected_moments.min
        size = max((abs(v) for w in scanned for _, v in w.counted(unit)), default=0.0)
        for power, (ours, theirs) in enumerate(
            zip(found.sums[:, unit].tolist(), expected_moments.sums, strict=True), start=1
        ):
            room = 1e-6 * max(found.n_tokens, 1) * size**power
            assert math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=room)


@EACH
@given(data=st.data(), k=st.integers(1, 5))
def test_any_batching_in_any_order_equals_naive_loops(add, data, k):
    scanned = data.draw(scans())
    state = new_state(scanned[0].x.shape[1], k)
    for batch in data.draw(batchings(scanned)):
        add(state, batch)
    check(state, scanned, k)


@EACH
@given(data=st.data(), k=st.integers(1, 4))
def test_partial_results_merge_to_those_of_the_union(add, data, k):
    scanned = data.draw(scans())
    cut = data.draw(st.integers(0, len(scanned)))
    shuffled = data.draw(st.permutations(scanned))
    parts = []
    for some in (shuffled[:cut], shuffled[cut:]):
        state = new_state(scanned[0].x.shape[1], k)
        if some:
            add(state, some)
        parts.append(state)
    a, b = parts
    merged = State(
        moments.merge(a.moments, b.moments),
        extremes.merge(a.top, b.top),
        extremes.merge(a.bottom, b.bottom),
        extremes.merge(a.active, b.active),
    )
    check(merged, scanned, k)


@EACH
@given(data=st.data())
def test_the_order_of_slots_is_the_tie_order(add, data):
    """Every window ties with every other: the earliest windows win, in order."""
    n_windows, k = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 5))
    x = np.array([[0.5], [2.0], [2.0]], dtype=np.float32)
    same = [Window(i, x, np.ones(3, dtype=bool)) for i in range(n_windows)]
    state = new_state(1, k)
    for batch in data.draw(batchings(same)):
        add(state, batch)
    found = examples_of(state.top, 0, same)
    assert [example.window for example in found] == list(range(min(k, n_windows)))
    assert {example.position for example in found} == {1}


@given(
    bad=st.sampled_from([np.nan, np.inf, -np.inf]),
    where=st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 19)),
)
def test_a_counted_nan_or_infinity_is_found_in_its_window(bad, where):
    x = torch.randn((4, 5, 20), generator=torch.Generator().manual_seed(0))
    x[where] = bad
    is_counted = torch.ones((4, 5), dtype=torch.bool)
    none = torch.zeros(4, dtype=torch.bool)
    state = new_state(20, 2)
    windows = torch.arange(4, dtype=torch.int32)
    assert window_stats.read(x, is_counted, 0).first_bad == where[0]
    assert (
        fused.update(state.moments, state.top, state.bottom, x, windows, is_counted, none)
        == where[0]
    )
    is_counted[where[0], where[1]] = False
    state = new_state(20, 2)
    assert window_stats.read(x, is_counted, 0).first_bad == -1
    assert fused.update(state.moments, state.top, state.bottom, x, windows, is_counted, none) == -1
    assert torch.isfinite(state.moments.sums).all()


@given(
    numbers=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=20),
    seed=st.integers(0, 2**64 - 1),
)
def test_the_order_of_draws_is_the_same_on_every_device(numbers, seed):
    keys = sampling.draw_keys(np.array(numbers), seed)
    order = sampling.draw_order(torch.tensor(numbers, dtype=torch.int32), seed)
    assert [int(key) - 2**63 for key in keys] == order.tolist()


@given(data=st.data(), k=st.integers(1, 3))
def test_lists_that_are_not_kept_change_nothing_else(data, k):
    scanned = data.draw(scans())
    whole, less = new_state(scanned[0].x.shape[1], k), new_state(scanned[0].x.shape[1], k)
    add_compiled(whole, scanned)
    fused.update(less.moments, less.top, None, *tensors(scanned))
    assert torch.equal(less.top.values, whole.top.values)
    assert torch.equal(less.top.windows, whole.top.windows)
    assert torch.equal(less.moments.sums, whole.moments.sums)
