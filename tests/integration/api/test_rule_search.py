"""Rule search and evidence, against plain counting over what is stored."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from app import db
from app.errors import NotFound
from app.language_models.queries import find_model
from app.rule_search import compared
from app.sources.queries import find_sources
from tests.integration.seed import DEAD, ON_SCRIPT, SCRIPT, Seeded

Ask = Callable[..., Any]
SEARCH = "/api/v1/models/tiny-a/search/rule"
SOURCES = ["mlp-0", "mlp-1", "sae-1"]
RULE = {"any": [{"tokens": [SCRIPT]}, {"class": "newline"}, {"class": "word_start"}]}


@pytest.fixture(scope="module")
def ask(client: TestClient) -> Ask:
    """The answer of a search, or of a report on the unit at `at`."""

    def ask(at: str | None = None, **question: Any) -> Any:
        source, _, index = (at or "").partition("/")
        path = f"/api/v1/models/tiny-a/sources/{source}/units/{index}/test" if at else SEARCH
        answer = client.post(path, json=question)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


def matched(seeded: Seeded, corpus: str) -> np.ndarray:
    """Positions of the token, by the corpus alone; the sample holds every window of tiny-a."""
    wanted = seeded.tokenizer.ids[SCRIPT.encode()]
    found = seeded.corpora[corpus]
    return np.array([i == wanted for window in found.windows for i in window.token_ids[1:]])


def naive(a: np.ndarray, m: np.ndarray) -> dict[str, float | None]:
    """The figures by their definitions."""
    a = a.astype(np.float64)
    fires, positive = a > 0, np.maximum(a, 0)
    tp, fp, fn = int((fires & m).sum()), int((fires & ~m).sum()), int((~fires & m).sum())
    tn = len(a) - tp - fp - fn
    pairs = np.sign(a[m][:, None] - a[~m][None, :])
    root = np.sqrt(float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))
    means = np.where(m, a[m].mean(), a[~m].mean())
    return {
        "auroc": float((pairs + 1).mean() / 2),
        "mcc": (tp * tn - fp * fn) / root if root else None,
        "mass_explained": positive[m].sum() / positive.sum() if positive.any() else None,
        "r2": 1 - ((a - means) ** 2).mean() / a.var() if np.ptp(a) else None,
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn),
    }


@pytest.mark.both_servers
@pytest.mark.parametrize("corpus", ["code", "other-text"])
@pytest.mark.parametrize("sort", ["auroc", "mcc", "mass_explained", "r2", "precision", "recall"])
def test_every_unit_is_ranked_by_figures_that_counting_gives(
    seeded: Seeded, ask: Ask, corpus: str, sort: str
) -> None:
    m = matched(seeded, corpus)
    answer = ask(rule={"tokens": [SCRIPT]}, corpus=corpus, sort=sort, limit=500)
    assert (answer["n_matched"], answer["n_positions"]) == (int(m.sum()), len(m))
    assert answer["exact"] is True and answer["corpus"] == corpus
    dense = {name: seeded.atlases["tiny-a", name, corpus] for name in SOURCES}
    assert answer["n_units"] == len(answer["items"]) == sum(x.shape[1] for x in dense.values())
    for item in answer["items"]:
        wanted = naive(dense[item["source"]][:, item["index"]], m)
        for name, value in wanted.items():
            assert item[name] == pytest.approx(value, abs=1e-6), (item["index"], name)
    keys = [-np.inf if item[sort] is None else item[sort] for item in answer["items"]]
    assert keys == sorted(keys, reverse=True)


def test_filters_come_before_the_limit_and_ties_are_stable(ask: Ask) -> None:
    everything = ask(rule=RULE, limit=500)["items"]
    latents = [item for item in everything if item["kind"] == "sae_latent"]
    assert ask(rule=RULE, kinds=["sae_latent"], limit=5)["items"] == latents[:5]
    assert ask(rule=RULE, sources=["sae-1"], limit=5)["items"] == latents[:5]
    some = ask(rule=RULE, min_density=0.05, max_density=0.6, limit=500)
    wanted = [item for item in everything if 0.05 <= item["unit"]["density"] <= 0.6]
    assert some["items"] == wanted and some["n_units"] == len(wanted) < len(everything)


def test_units_are_sorted_by_mcc_unless_asked_otherwise(client: TestClient, ask: Ask) -> None:
    answer = ask(rule=RULE, limit=5)
    assert answer["sort"] == "mcc"
    assert answer["items"] == ask(rule=RULE, sort="mcc", limit=5)["items"]
    assert client.get(SEARCH, params={"rule": ":word_start"}).json()["sort"] == "mcc"


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"kinds": ["sae_latent", "neuron"], "sort": "auroc"},
        {"sources": ["mlp-1", "sae-1"], "corpus": "other-text"},
        {"min_density": 0.05, "max_density": 0.6, "threshold": "best"},
        {"threshold": 0.25, "chance": True},
    ],
)
def test_a_link_answers_all_that_can_be_asked(
    client: TestClient, ask: Ask, asked: dict[str, Any]
) -> None:
    posted = ask(rule=RULE, limit=7, **asked)
    parameters = {"source" if name == "sources" else name: v for name, v in asked.items()}
    link = client.get(SEARCH, params={"rule": posted["text"], "limit": 7, **parameters})
    assert link.status_code == 200, link.text
    assert link.json() == {**posted, "took_ms": None}


def test_a_rule_is_taken_in_one_line_wherever_it_is_sent(ask: Ask) -> None:
    line = '"</script>" | :newline | :word_start'
    for at in (None, f"sae-1/{ON_SCRIPT}"):
        answer = ask(at, rule=line)
        assert answer["rule"] == RULE
        assert {**answer, "took_ms": None} == {**ask(at, rule=RULE), "took_ms": None}


def test_a_line_that_is_no_rule_says_what_is_wrong_in_its_place(client: TestClient) -> None:
    answer = client.post(SEARCH, json={"rule": 'prev("=") & :digit'})
    assert answer.status_code == 422
    assert "there is no prev(...)" in answer.json()["detail"]


def test_the_documents_say_what_each_class_is(client: TestClient) -> None:
    schemas = client.get("/api/openapi.json").json()["components"]["schemas"]
    about = schemas["Class"]["properties"]["class"]["description"]
    assert "`digit`: decimal digits only" in about
    assert "mid-string" in schemas["Inside"]["properties"]["inside"]["description"]


def test_what_is_shown_has_intervals_around_it(ask: Ask) -> None:
    answer = ask(rule=RULE, limit=5, chance=True)
    for item in answer["items"]:
        low, high = item["ci"]["auroc"]
        assert low <= item["auroc"] <= high
        counts = item["confusion"]
        assert sum(counts.values()) == answer["n_positions"]
        assert counts["tp"] + counts["fn"] == answer["n_matched"]
    assert answer["chance"]["reached"] == max(answer["chance"]["best"])


def test_a_rule_that_holds_nowhere_ranks_nothing_and_says_what_is_near(ask: Ask) -> None:
    answer = ask(rule={"tokens": ["</Script>"]})
    assert (answer["items"], answer["n_matched"]) == ([], 0)
    assert any(SCRIPT in hint for hint in answer["hints"])


def test_the_report_says_what_the_search_says_and_where_it_is_wrong(
    seeded: Seeded, ask: Ask
) -> None:
    rule = {"tokens": [SCRIPT]}
    report = ask(f"sae-1/{ON_SCRIPT}", rule=rule)
    items = ask(rule=rule, sort="auroc", limit=500)["items"]
    (found,) = [i for i in items if (i["source"], i["index"]) == ("sae-1", ON_SCRIPT)]
    for name in ("auroc", "mcc", "mass_explained", "confusion", "ci", "threshold"):
        assert report[name] == found[name]
    (by_auroc,) = [rank for rank in report["ranks"] if rank["sort"] == "auroc"]
    every = [item["auroc"] for item in items]
    assert by_auroc["place"] == 1 + every.index(found["auroc"])
    assert by_auroc["n_equal"] == every.count(found["auroc"])
    assert {rank["sort"] for rank in report["ranks"]} == set(naive(np.ones(2), np.arange(2) == 0))
    assert by_auroc["n_units"] == len(items) and report["left_out"] == []
    assert [other["corpus"] for other in report["others"]] == ["other-text"]
    bands = report["bands"]
    assert sum(band["n_positions"] for band in bands) == report["n_positions"]
    assert sum(band["n_matched"] for band in bands) == report["n_matched"]


def test_counter_examples_are_what_they_are_called(seeded: Seeded, ask: Ask) -> None:
    report = ask("mlp-0/7", rule=RULE)
    against, counts = report["counter_examples"], report["confusion"]
    assert against["n_fires_without"] == counts["fp"] > 0
    assert against["n_silent_despite"] == counts["fn"] > 0
    for each in against["fires_without"]:
        assert each["activation"] > 0 and each["position"] not in each["matched"]
    for each in against["silent_despite"]:
        assert each["activation"] <= 0 and each["position"] in each["matched"]
    for kind in ("fires_without", "silent_despite"):
        windows = [each["window"] for each in against[kind]]
        assert 1 < len(windows) == len(set(windows)) <= 12
    strongest = [each["activation"] for each in against["fires_without"]]
    assert strongest == sorted(strongest, reverse=True)
    for each in against["fires_without"] + against["silent_despite"]:
        assert each["activations"][0] is None and len(each["activations"]) == len(each["tokens"])


def test_the_threshold_moves_what_counts_as_firing(ask: Ask) -> None:
    zero, high = (ask("mlp-0/7", rule=RULE, threshold=t) for t in (0, 1.0))
    assert high["confusion"]["tp"] < zero["confusion"]["tp"]
    assert high["threshold"] <= 1.0
    best = ask("mlp-0/7", rule=RULE, threshold="best")
    assert best["mcc"] >= max(zero["mcc"], high["mcc"] or -1)


def test_a_dead_unit_has_a_report_of_nothing(ask: Ask) -> None:
    report = ask(f"sae-1/{DEAD}", rule=RULE)
    assert report["mass_explained"] is None and report["confusion"]["tp"] == 0
    assert report["auroc"] == 0.5


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({}, "rule"),
        ({"rule": {"regex": "(a"}}, "RE2"),
        ({"rule": {"regex": "(?=a)"}}, "look-around"),
        ({"rule": {"regex": "x" * 2000}}, "1,000"),
        ({"rule": {"tokens": []}}, "tokens"),
        ({"rule": {"nope": 1}}, "exactly one of the keys"),
        ({"rule": {"class": "digit"}, "sort": "best"}, "sort"),
        ({"rule": {"class": "digit"}, "limit": 501}, "limit"),
        ({"rule": {"class": "digit"}, "min_density": 2}, "min_density"),
        ({"rule": {"class": "digit"}, "threshold": -1}, "threshold"),
        ({"rule": {"class": "digit"}, "extra": 1}, "extra"),
        ({"rule": {"class": "digit"}, "sources": ["x"] * 501}, "sources"),
        ({"rule": {"class": "digit"}, "sources": []}, "sources"),
        ({"rule": {"class": "digit"}, "kinds": []}, "kinds"),
    ],
)
def test_what_cannot_be_asked_is_said(
    client: TestClient, question: dict[str, Any], words: str
) -> None:
    answer = client.post(SEARCH, json=question)
    assert answer.status_code == 422, answer.text
    assert words in answer.text


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b'"a"', b"{" * 10_000, b"\xff\xfe"])
def test_a_body_that_is_no_question_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post(SEARCH, content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert "detail" in answer.json()


def test_what_is_not_there_is_named(client: TestClient) -> None:
    rule = {"class": "digit"}
    for path, question, words in (
        ("/api/v1/models/nope/search/rule", {"rule": rule}, "nope"),
        (SEARCH, {"rule": rule, "sources": ["nope"]}, "nope"),
        (SEARCH, {"rule": rule, "corpus": "nope"}, "nope"),
        ("/api/v1/models/tiny-a/sources/sae-1/units/9999/test", {"rule": rule}, "9999"),
    ):
        answer = client.post(path, json=question)
        assert answer.status_code == 404, answer.text
        assert words in answer.json()["detail"]


def test_a_short_rule_fits_an_address(client: TestClient, ask: Ask) -> None:
    def without_time(answer: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in answer.items() if name != "took_ms"}

    given = {"rule": ":word_start", "source": "sae-1", "sort": "mcc", "limit": "7"}
    short = client.get(SEARCH, params=given)
    assert short.status_code == 200, short.text
    wanted = ask(rule={"class": "word_start"}, sources=["sae-1"], sort="mcc", limit=7)
    assert without_time(short.json()) == without_time(wanted)
    path = "/api/v1/models/tiny-a/sources/mlp-0/units/7/test"
    short = client.get(path, params={"rule": ":word_start", "threshold": "best"})
    assert short.status_code == 200, short.text
    report = ask("mlp-0/7", rule={"class": "word_start"}, threshold="best")
    assert without_time(short.json()) == without_time(report)
    for wrong in ({"rule": "nope("}, {"rule": ":digit", "threshold": "x"}, {}):
        assert client.get(path, params=wrong).status_code == 422


def test_sources_that_were_not_scanned_over_the_corpus_are_named(
    module_engine: Engine, seeded: Seeded
) -> None:
    with db.session(module_engine) as session:
        found = find_sources(session, find_model(session, "tiny-a"))
        for each in found:
            each.scans[:] = [scan for scan in each.scans if scan.corpus.slug == "code"]
        with pytest.raises(NotFound, match="over other-text: mlp-0, mlp-1, sae-1"):
            compared._sample_of(session, found, "other-text")
