"""Indexing end to end: what is stored equals what plain transformers gives, counted by loops."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import Engine, select

from app import db
from app.codec import Scale, decode
from app.errors import AppError, Conflict, InvalidInput
from app.models import (
    Corpus,
    Examples,
    LanguageModel,
    Scan,
    ScanSource,
    Shard,
    Source,
    TokenWindow,
    Unit,
    UnitStats,
)
from app.rule_search.schemas import RuleQuestion
from app.rule_search.service import search_rule
from tests import naive_scan
from tests.naive_scan import Window
from tests.tiny_models import make_model
from tests.tiny_saes import make_sae
from workers import index, scan
from workers.index import IndexRequest, IndexResult, run_index
from workers.kernels import atlas
from workers.kernels.sampling import draw_keys
from workers.progress import Silent
from workers.scan import N_ACTIVE, active_seed

K, CONTEXT = 4, 12
TEXTS = {
    "a.py": "def main():\n    return [value for value in values if value]\n" * 3,
    "b.txt": "The quick brown fox jumps over the lazy dog, again and again. Naïve café, 東京\n" * 2,
    "c.txt": "x",
    "d.txt": "class Window:\n\tsize = 128\n",
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for name, content in TEXTS.items():
        (folder / name).write_text(content)
    return folder


@dataclass
class Made:
    """A finished index and what it was made from."""

    engine: Engine
    directory: Path
    sae: Path
    result: IndexResult


@pytest.fixture
def request_for(
    corpus: Path, model_directory: Callable[[str], Path]
) -> Callable[..., IndexRequest]:
    def make(kind: str = "gpt2", **more: Any) -> IndexRequest:
        given = {"context": CONTEXT, "top_k": K, "atlas_tokens": 60, "device": "cpu"}
        return IndexRequest(model=str(model_directory(kind)), corpus=str(corpus), **given | more)

    return make


@pytest.fixture
def indexed(
    engine: Engine, request_for: Callable[..., IndexRequest], tmp_path: Path
) -> Callable[..., Made]:
    def make(kind: str = "gpt2", **more: Any) -> Made:
        sae = make_sae(tmp_path / "latents")
        request = request_for(kind, saes=[str(sae)], **more)
        result = run_index(request, engine, Silent())
        return Made(engine, Path(request.model), sae, result)

    return make


def rows(engine: Engine, entity: Any) -> list[Any]:
    with db.session(engine) as session:
        return list(session.scalars(select(entity).order_by(*entity.__table__.primary_key)))


def brute_force(made: Made) -> dict[str, list[Window]]:
    """Activations of every source on every stored window, one window at a time."""
    from sae_lens import SAE
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(made.directory).eval()
    sae = SAE.load_from_disk(made.sae, device="cpu")
    found: dict[str, list[Window]] = {}
    for row in rows(made.engine, TokenWindow):
        ids = np.frombuffer(row.token_ids, "<u4").astype(np.int64)
        is_counted = np.ones(len(ids), dtype=bool)
        is_counted[row.uncounted] = False
        for slug, x in _activations(model, sae, torch.from_numpy(ids)[None]).items():
            window = Window(row.index, x[0].numpy(), is_counted, row.is_duplicate)
            found.setdefault(slug, []).append(window)
    return found


def _activations(model: Any, sae: Any, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    inputs: dict[str, torch.Tensor] = {}
    handles = []
    for name, module in model.named_modules():
        if name.endswith((".mlp.c_proj", ".mlp.down_proj")):
            layer = name.split(".")[2]

            def keep(_: Any, args: Any, slug: str = f"mlp-{layer}") -> None:
                inputs[slug] = args[0]

            handles.append(module.register_forward_pre_hook(keep))
    with torch.no_grad():
        states = model(ids, output_hidden_states=True).hidden_states
        inputs["latents"] = sae.encode(states[2])  # blocks.1.hook_resid_post
    for handle in handles:
        handle.remove()
    return inputs


def check_examples(stored: Examples, expected: list[naive_scan.NaiveExample]) -> None:
    """The same windows in the same order where values are far enough apart to tell."""
    assert np.allclose(stored.values, [e.value for e in expected], atol=1e-5)
    values = np.array([e.value for e in expected])
    gaps = np.abs(values[:, None] - values[None]) + np.eye(len(values))
    clear = gaps.min(axis=1, initial=1.0) > 1e-4
    for i in np.flatnonzero(clear):
        assert stored.windows[i] == expected[i].window
        assert stored.positions[i] == expected[i].position
        assert stored.max_positions[i] == expected[i].max_position
        assert np.isclose(stored.lows[i], expected[i].low, atol=1e-5)
        assert np.isclose(stored.highs[i], expected[i].high, atol=1e-5)


def unpack(stored: Examples, lengths: dict[int, int]) -> list[np.ndarray]:
    """Each example's activations, decoded."""
    levels = np.frombuffer(zlib.decompress(stored.levels), np.uint8)
    ends = np.cumsum([lengths[window] for window in stored.windows])
    assert ends[-1] == len(levels)
    parts = np.split(levels, ends[:-1])
    scales = map(Scale, stored.lows, stored.highs)
    return [decode(part, scale) for part, scale in zip(parts, scales, strict=True)]


@pytest.mark.parametrize("kind", ["gpt2", "qwen3"])
def test_extremes_counts_and_moments_equal_brute_force(
    indexed: Callable[..., Made], kind: str
) -> None:
    made = indexed(kind)
    truth = brute_force(made)
    slugs = {row.id: row.slug for row in rows(made.engine, Source)}
    assert set(slugs.values()) == {"mlp-0", "mlp-1", "mlp-2", "latents"} == set(truth)
    examples = {(slugs[e.source_id], e.index, e.kind): e for e in rows(made.engine, Examples)}
    stats = rows(made.engine, UnitStats)
    assert len(stats) == sum(windows[0].x.shape[1] for windows in truth.values())
    for row in stats:
        slug = slugs[row.source_id]
        windows = truth[slug]
        for side, sign in (("top", 1), ("bottom", -1)):
            expected = naive_scan.extremes(windows, row.index, K, sign)
            stored = examples.get((slug, row.index, side))
            assert (stored is None) == (not expected)
            if stored is not None:
                check_examples(stored, expected)
        sample = examples.get((slug, row.index, "active"))
        assert sample is None or slug == "latents"
        if sample is not None:
            check_examples(sample, naive_scan.active_sample(windows, row.index, N_ACTIVE, key_of))
        check_stats(row, windows)


def key_of(window: int) -> int:
    """The window's place in the draw of active windows, by the scan's seed."""
    return int(draw_keys(np.array([window]), active_seed(0))[0])


def check_stats(row: UnitStats, windows: list[Window]) -> None:
    values = np.array([v for w in windows for _, v in w.counted(row.index)])
    assert row.n_tokens == len(values)
    # A value within rounding of 0 may be on either side of it.
    unsure = int((np.abs(values[values != 0]) < 1e-6).sum())
    assert abs(row.n_active - int((values > 0).sum())) <= unsure
    assert row.density == row.n_active / row.n_tokens
    for found, wanted in ((row.max, values.max()), (row.min, values.min())):
        assert np.isclose(found, wanted, atol=1e-5)
    assert np.isclose(row.mean, values.mean(), atol=1e-5)
    assert np.isclose(row.std, values.std(), rtol=1e-3, atol=1e-5)
    if values.std() > 1e-3:
        centred = (values - values.mean()) / values.std()
        assert np.isclose(row.skewness, (centred**3).mean(), rtol=1e-2, atol=1e-2)
        assert np.isclose(row.kurtosis, (centred**4).mean() - 3, rtol=1e-2, atol=1e-2)


def test_example_levels_decode_to_the_activations_at_every_token(
    indexed: Callable[..., Made],
) -> None:
    made = indexed()
    truth = brute_force(made)
    slugs = {row.id: row.slug for row in rows(made.engine, Source)}
    kinds = set()
    for row in rows(made.engine, Examples):
        windows = {window.index: window for window in truth[slugs[row.source_id]]}
        lengths = {index: len(window.x) for index, window in windows.items()}
        kinds.add(row.kind)
        for i, decoded in enumerate(unpack(row, lengths)):
            window = windows[row.windows[i]]
            assert not window.is_duplicate
            exact = window.x[:, row.index]
            scale = Scale(row.lows[i], row.highs[i])
            step = max(scale.positive_step, scale.negative_step) + 1e-5
            assert np.allclose(decoded[window.is_counted], exact[window.is_counted], atol=step)
            assert (decoded[~window.is_counted] == 0).all()
            assert np.isclose(row.values[i], exact[row.positions[i]], atol=1e-5)
            assert window.is_counted[row.positions[i]]
            assert np.isclose(row.highs[i], exact[row.max_positions[i]], atol=1e-5)
    assert kinds == {"top", "bottom", "interval", "random", "active"}


def test_intervals_histogram_and_tokens_cover_the_whole_atlas(
    indexed: Callable[..., Made],
) -> None:
    """With an atlas as large as the corpus, all of it can be checked against everything."""
    made = indexed(atlas_tokens=10**6)
    truth = brute_force(made)
    sources = {row.id: row.slug for row in rows(made.engine, Source)}
    windows_stored = rows(made.engine, TokenWindow)
    tokens = {row.index: np.frombuffer(row.token_ids, "<u4") for row in windows_stored}
    for row in rows(made.engine, UnitStats):
        windows = truth[sources[row.source_id]]
        values = np.sort([v for w in windows for _, v in w.counted(row.index)]).astype(np.float32)
        assert sum(row.interval_counts) == len(values) == row.n_tokens
        assert sum(row.histogram_counts) + row.n_zero == len(values)
        assert np.isclose(sum(row.interval_mass), np.abs(values).sum(), rtol=1e-4, atol=1e-4)
        assert np.isclose(row.atlas_sum, values[values > 0].sum(), rtol=1e-4, atol=1e-4)
        if (np.abs(values[values != 0]) > 1e-5).all():
            wanted = atlas.intervals(values)
            assert row.interval_counts == wanted.counts.tolist()
            assert np.allclose(row.interval_edges, wanted.edges, atol=1e-5)
        totals: dict[int, float] = {}
        for window in windows:
            for position, value in window.counted(row.index):
                token = int(tokens[window.index][position])
                totals[token] = totals.get(token, 0.0) + max(value, 0.0)
        best = sorted(totals.values(), reverse=True)[: len(row.token_ids)]
        assert np.allclose(row.token_sums, best, rtol=1e-4, atol=1e-5)


def test_interval_examples_lie_in_their_interval(indexed: Callable[..., Made]) -> None:
    made = indexed()
    stats = {(row.source_id, row.index): row for row in rows(made.engine, UnitStats)}
    for row in rows(made.engine, Examples):
        if row.kind != "interval":
            assert row.intervals == []
            continue
        edges = stats[row.source_id, row.index].interval_edges
        last = len(edges) - 2
        for band, value in zip(row.intervals, row.values, strict=True):
            assert edges[band] <= value <= edges[band + 1]
            assert value < edges[band + 1] or band == last
        pairs = list(zip(row.intervals, row.windows, strict=True))
        assert len(set(pairs)) == len(pairs)


def test_the_sample_is_the_same_for_every_source(indexed: Callable[..., Made]) -> None:
    made = indexed()
    found = {row.n_atlas_positions for row in rows(made.engine, ScanSource)}
    assert len(found) == 1
    assert 60 <= found.pop() < 60 + CONTEXT


@pytest.mark.both_servers
def test_the_same_request_does_no_work_twice(
    engine: Engine, request_for: Callable[..., IndexRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for()
    first = run_index(request, engine, Silent())
    assert first.is_complete
    assert len(rows(engine, ScanSource)) == 3
    monkeypatch.setattr(index, "ShardWorker", _never)
    again = run_index(request, engine, Silent())
    assert (again.scan_ids, again.is_complete) == ([], True)
    assert (again.model_slug, again.corpus_slug) == (first.model_slug, first.corpus_slug)
    assert len(rows(engine, Scan)) == len(rows(engine, Corpus)) == 1


def _never(*_: Any, **__: Any) -> None:
    raise AssertionError("there was nothing to do")


def test_sources_already_scanned_are_left_out(
    engine: Engine, request_for: Callable[..., IndexRequest]
) -> None:
    first = run_index(request_for(neurons="0"), engine, Silent())
    more = run_index(request_for(neurons="0-1"), engine, Silent())
    scans = [*first.scan_ids, *more.scan_ids]
    found = [(row.scan_id, row.is_current) for row in rows(engine, ScanSource)]
    assert found == [(scan_id, True) for scan_id in scans]


def test_changed_settings_make_a_new_scan_that_takes_the_place_of_the_old(
    engine: Engine, request_for: Callable[..., IndexRequest]
) -> None:
    old = run_index(request_for(neurons="1"), engine, Silent())
    new = run_index(request_for(neurons="1", top_k=K + 1), engine, Silent())
    assert current_scans(engine) == set(new.scan_ids)
    lengths = {row.scan_id: len(row.windows) for row in rows(engine, Examples) if row.kind == "top"}
    assert lengths == {old.scan_ids[0]: K, new.scan_ids[0]: K + 1}
    back = run_index(request_for(neurons="1"), engine, Silent())
    assert back.scan_ids == []
    assert current_scans(engine) == set(old.scan_ids)


def current_scans(engine: Engine) -> set[int]:
    return {row.scan_id for row in rows(engine, ScanSource) if row.is_current}


def test_a_failure_leaves_earlier_results_as_they_were(
    engine: Engine, request_for: Callable[..., IndexRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_index(request_for(neurons="0"), engine, Silent())
    before = [row.windows for row in rows(engine, Examples)]
    with monkeypatch.context() as patch:
        patch.setattr(scan, "_update", lambda *_: 0)
        with pytest.raises(InvalidInput, match=r"mlp-1: .* window \d+ is NaN or infinite"):
            run_index(request_for(neurons="1"), engine, Silent())
    assert [row.windows for row in rows(engine, Examples)] == before
    failed = rows(engine, Scan)[-1]
    assert failed.status == "failed"
    assert "NaN" in failed.error


def test_nan_in_the_weights_names_source_and_window(
    engine: Engine, corpus: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    directory = make_model("gpt2", tmp_path / "broken")
    weights = load_file(directory / "model.safetensors")
    weights["transformer.h.1.mlp.c_fc.bias"][3] = torch.nan
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    request = IndexRequest(model=str(directory), corpus=str(corpus), context=CONTEXT, device="cpu")
    with pytest.raises(InvalidInput, match=r"Source mlp-1: .* window \d+"):
        run_index(request, engine, Silent())
    assert rows(engine, Source) == rows(engine, Shard) == []
    assert "NaN" in rows(engine, Scan)[0].error


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"context": 65}, "--context 65: .* at most 64"),
        ({"neurons": "none"}, "nothing to scan"),
        ({"sae_names": ["a"]}, "1 --sae-name for 0 --sae"),
        ({"name": "Not A Slug"}, "--name 'Not A Slug'"),
        ({"name": "api"}, "--name 'api'"),
        ({"corpus_name": "My <Texts>"}, "--corpus-name 'My <Texts>' .* for example 'my-texts'"),
        ({"neurons": "0-3"}, "there is no layer 3"),
        ({"bos": "yes", "corpus": "/nowhere"}, "nowhere"),
        ({"control": "random-weights", "saes": ["it"]}, "Index the control's neurons alone"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(
    engine: Engine, request_for: Callable[..., IndexRequest], more: dict[str, Any], message: str
) -> None:
    request = request_for().model_copy(update=more)
    with pytest.raises(AppError, match=message):
        run_index(request, engine, Silent())
    for entity in (LanguageModel, Corpus, Scan):
        assert rows(engine, entity) == []


def test_two_saes_of_one_name_are_refused(
    engine: Engine, request_for: Callable[..., IndexRequest], tmp_path: Path
) -> None:
    saes = [str(make_sae(tmp_path / part / "same")) for part in ("a", "b")]
    with pytest.raises(InvalidInput, match="Two sources would be called 'same'"):
        run_index(request_for(neurons="none", saes=saes), engine, Silent())


def test_a_name_that_belongs_to_another_model_is_refused(
    engine: Engine, request_for: Callable[..., IndexRequest]
) -> None:
    run_index(request_for(neurons="0", name="mine"), engine, Silent())
    with pytest.raises(Conflict, match="Pass another --name"):
        run_index(request_for("qwen3", neurons="0", name="mine"), engine, Silent())
    kept = run_index(request_for(neurons="0", name="other"), engine, Silent())
    assert kept.model_slug == "mine"


def test_a_control_stands_beside_its_model_over_the_same_sample(
    engine: Engine, request_for: Callable[..., IndexRequest]
) -> None:
    real = run_index(request_for(), engine, Silent())
    control = run_index(request_for(control="random-weights"), engine, Silent())
    assert control.corpus_slug == real.corpus_slug
    model, other = rows(engine, LanguageModel)
    assert other.slug == control.model_slug == f"{model.slug}-random-weights"
    assert other.details["control_of"] == model.weights_hash != other.weights_hash
    one, two = rows(engine, Scan)
    assert one.atlas_windows == two.atlas_windows
    maxima: dict[int, set[float]] = {one.id: set(), two.id: set()}
    for stats in rows(engine, UnitStats):
        maxima[stats.scan_id].add(stats.max)
    assert maxima[one.id] & maxima[two.id] <= {0.0}
    asked = {"rule": {"class": "word_start"}, "chance": True, "sort": "auroc"}
    question = RuleQuestion.model_validate(asked)
    with db.session(engine) as session:
        answer = search_rule(session, real.model_slug, question)
        best = search_rule(session, control.model_slug, question)
    (found,) = answer.controls
    assert (found.model, found.n_units) == (control.model_slug, best.n_units)
    assert found.value == best.items[0].auroc
    assert best.controls == []


def test_a_control_over_windows_that_its_model_was_not_scanned_over_says_so(
    engine: Engine, request_for: Callable[..., IndexRequest]
) -> None:
    run_index(request_for(name="mine", tokens=500), engine, Silent())
    notes: list[str] = []
    progress = Silent()
    progress.note = notes.append  # type: ignore[method-assign]
    control = run_index(request_for(control="random-weights", tokens=300), engine, progress)
    assert control.model_slug == "mine-random-weights"
    assert any("was not scanned over" in note and "--tokens" in note for note in notes)
    notes.clear()
    run_index(request_for(control="random-weights", tokens=500), engine, progress)
    assert not any("was not scanned over" in note for note in notes)


def test_a_source_name_that_belongs_to_other_weights_is_refused(
    engine: Engine, request_for: Callable[..., IndexRequest], tmp_path: Path
) -> None:
    first, second = make_sae(tmp_path / "a"), make_sae(tmp_path / "b", seed=1)
    run_index(request_for(neurons="none", saes=[str(first)], sae_names=["it"]), engine, Silent())
    with pytest.raises(Conflict, match="Pass another --sae-name"):
        run_index(
            request_for(neurons="none", saes=[str(second)], sae_names=["it"]), engine, Silent()
        )


def test_densities_are_counted_by_quarter_decades(indexed: Callable[..., Made]) -> None:
    made = indexed()
    alive: dict[int, int] = {}
    for row in rows(made.engine, UnitStats):
        alive[row.source_id] = alive.get(row.source_id, 0) + (row.n_active > 0)
    for row in rows(made.engine, ScanSource):
        assert len(row.density_histogram) == 32
        assert sum(row.density_histogram) == row.n_alive == alive[row.source_id]


def test_units_have_their_logit_lens(indexed: Callable[..., Made]) -> None:
    made = indexed()
    for row in rows(made.engine, Unit):
        assert len(row.promoted_ids) == len(row.suppressed_ids) == 10
        assert row.promoted_values == sorted(row.promoted_values, reverse=True)
        assert row.suppressed_values == sorted(row.suppressed_values)
