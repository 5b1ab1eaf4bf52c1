"""Automatic labels over REST and on pages, against plain NumPy on the stored atlas."""

import re

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, select, text, update

from app import db
from app.errors import Conflict, NotFound
from app.labels.best import MIN_EXPLAINED, MIN_POSITIVE
from app.labels.making import Labelled, label_model, label_scan
from app.models import Scan
from app.numbers import format_share
from app.rules.evaluation import evaluate
from app.rules.language import to_value
from app.rules.library import library
from app.rules.stored_text import open_text
from app.rules.text import parse as parse_rule
from tests.integration.api.conftest import Get
from tests.integration.pages.markup import parse
from tests.integration.seed import DEAD, Seeded

SOURCES = ("mlp-0", "mlp-1", "sae-1")
PATH = "/models/tiny-a/sources"


@pytest.fixture(scope="module")
def labelled(module_engine: Engine, seeded: Seeded) -> Seeded:
    """`tiny-a` labelled over both corpora, `code` twice."""
    for _ in range(2):
        done = label_model(module_engine, "tiny-a", "code", lambda _: None)
    assert done.n_units == 44
    label_model(module_engine, "tiny-a", None, lambda _: None)
    return seeded


def r2_of(a: np.ndarray, matched: np.ndarray) -> float:
    mask = np.zeros(len(a), bool)
    mask[matched] = True
    if a.std() == 0 or a[mask].mean() <= a[~mask].mean():
        return -1.0
    return float(np.corrcoef(a, mask)[0, 1] ** 2)


def test_a_label_is_the_rule_that_explains_most(
    module_engine: Engine, labelled: Seeded, get: Get
) -> None:
    with db.session(module_engine) as session:
        scan_id = session.scalars(select(Scan.id).order_by(Scan.id).limit(1)).one()
        rules = list(library(open_text(session, scan_id)))
    n_labels = 0
    for source in SOURCES:
        dense = labelled.atlases["tiny-a", source, "code"].astype(np.float64)
        for index, a in enumerate(dense.T):
            labels = get(f"{PATH}/{source}/units/{index}")["labels"]
            label = next((each for each in labels if each["corpus"] == "code"), None)
            if (a > 0).sum() < MIN_POSITIVE:
                assert label is None
                continue
            n_labels += 1
            scores = [r2_of(a, each.matched) for each in rules]
            assert label["kind"] == "automatic"
            assert label["r2"] == pytest.approx(max(scores), rel=1e-4)
            assert label["is_explained"] == (label["r2"] >= MIN_EXPLAINED)
            with db.session(module_engine) as session:
                matched = evaluate(
                    next(r.rule for r in rules if _is(r.rule, label["rule"])),
                    open_text(session, scan_id),
                )
            above, fires = np.maximum(a, 0), a > 0
            assert label["mass_explained"] == pytest.approx(
                above[matched].sum() / above.sum(), rel=1e-4
            )
            assert label["precision"] == pytest.approx(fires[matched].sum() / fires.sum(), rel=1e-5)
            assert label["recall"] == pytest.approx(fires[matched].mean(), rel=1e-5)
    assert n_labels > 20


def _is(rule: object, value: object) -> bool:
    return to_value(rule) == value  # type: ignore[arg-type]


def test_rows_carry_the_label_and_are_chosen_by_it(labelled: Seeded, get: Get) -> None:
    rows = get(f"{PATH}/mlp-0/units")["items"]
    assert rows[DEAD]["label"] is None
    known = {row["index"]: row["label"]["r2"] for row in rows if row["label"]}
    assert len(known) > 5
    middle = sorted(known.values())[len(known) // 2]
    some = get(f"{PATH}/mlp-0/units", min_r2=middle)["items"]
    assert {row["index"] for row in some} == {i for i, r2 in known.items() if r2 >= middle}
    rest = get(f"{PATH}/mlp-0/units", max_r2=middle)["items"]
    assert {row["index"] for row in rest} == {i for i, r2 in known.items() if r2 <= middle}


def test_the_unexplained_are_a_link_to_exactly_them(
    labelled: Seeded, client: TestClient, walk: Get
) -> None:
    with_label = [r for r in walk(f"{PATH}/mlp-0/units", 50) if r["label"]]
    wanted = {r["index"] for r in with_label if r["label"]["r2"] < MIN_EXPLAINED}
    page = parse(client.get("/tiny-a/mlp-0").text)
    (link,) = [a for a in page.all("a") if a.text.startswith("the other ")]
    assert link.text == f"the other {len(wanted)}"
    listed = parse(client.get(link.attributes["href"]).text).all("tbody")[0].all("tr")
    found = {int(row.all("a")[0].text.split("/")[-1]) for row in listed if row.all("a")}
    assert found == wanted


@pytest.fixture
def explained(module_engine: Engine, labelled: Seeded) -> None:
    """All labels over `code` count as explaining: noise has none that do."""
    with module_engine.begin() as connection:
        connection.execute(text("UPDATE labels SET is_explained = true"))


@pytest.mark.usefixtures("explained")
@pytest.mark.parametrize("limit", [2, 500])
def test_words_find_the_labels_that_have_them_best_first(get: Get, walk: Get, limit: int) -> None:
    wanted = {}
    for source in SOURCES:
        for row in get(f"{PATH}/{source}/units")["items"]:
            words = set(re.findall(r"\w+", row["label"]["words"])) if row["label"] else set()
            if {"the", "token"} <= words:
                wanted[source, row["index"]] = row["label"]["r2"]
    hits = walk("/models/tiny-a/search", limit, q="Token THE")
    assert {(hit["source"], hit["index"]): hit["unit"]["label"]["r2"] for hit in hits} == wanted
    assert len(hits) == len(wanted) > 2
    found = [hit["unit"]["label"]["r2"] for hit in hits]
    assert found == sorted(found, reverse=True)
    assert {hit["found_by"] for hit in hits} == {"label"}


@pytest.mark.usefixtures("explained")
def test_words_that_are_no_token_search_labels_on_the_page(client: TestClient) -> None:
    page = parse(client.get("/search", params={"q": "the token", "model": "tiny-a"}).text)
    said = " ".join(page.all("p", "understood")[0].text.split())
    assert "of which the words the token are said" in said
    assert len(page.all("tbody")[0].all("tr")) > 2
    token = client.get("/search", params={"q": "return", "model": "tiny-a"}).text
    assert "/search?q=label%3A%20return" in token
    assert "whose activation" in token


def test_what_neither_token_nor_label_is_says_both(labelled: Seeded, client: TestClient) -> None:
    page = parse(client.get("/search", params={"q": "zorglub", "model": "tiny-a"}).text)
    said = page.all("p", "notice")[0].text
    assert "not one token" in said
    assert "No label" in said


def test_the_units_page_shows_its_label_as_provisional_with_its_evidence(
    labelled: Seeded, client: TestClient, get: Get
) -> None:
    row = next(row for row in get(f"{PATH}/mlp-0/units")["items"] if row["label"])
    page = parse(client.get(row["page"]).text)
    line = page.all("p", "provisional")[0]
    assert row["label"]["words"] in line.text
    assert "provisional" in line.text or "Unexplained" in line.text
    link = line.all("a")[0].attributes["href"]
    assert client.get(link).status_code == 200
    dead = parse(client.get(f"/tiny-a/mlp-0/{DEAD}").text)
    assert not dead.all("p", "provisional")


def test_the_sources_page_plots_how_much_is_explained(labelled: Seeded, client: TestClient) -> None:
    html = client.get("/tiny-a/mlp-0").text
    assert "How much is explained" in html
    links = [a.attributes["href"] for a in parse(html).all("a") if "max_r2" in str(a.attributes)]
    assert links
    assert client.get(links[0]).status_code == 200
    assert "How much is explained" not in client.get("/tiny-b/mlp-0").text


@pytest.mark.parametrize("corpus", ["code", "other-text"])
@pytest.mark.parametrize("by", ["activation", "direction"])
def test_similar_units_carry_their_labels(
    labelled: Seeded, client: TestClient, get: Get, corpus: str, by: str
) -> None:
    found = get(f"{PATH}/mlp-0/units/2/similar", by=by, corpus=corpus, limit=40)["items"]
    for item in found:
        labels = get(f"{PATH}/{item['source']}/units/{item['index']}")["labels"]
        own = next((label for label in labels if label["corpus"] == corpus), None)
        assert item["label"] == own
    assert sum(item["label"] is not None for item in found) > 10
    lists = parse(client.get(f"/tiny-a/mlp-0/2/similar?corpus={corpus}").text)
    assert "label" in [th.text for th in lists.all("th")]


def test_the_units_page_compares_its_corpora(
    labelled: Seeded, client: TestClient, get: Get
) -> None:
    unit = get(f"{PATH}/mlp-0/units/2")
    page = parse(client.get("/tiny-a/mlp-0/2?corpus=other-text").text)
    (part,) = [each for each in page.all("section") if each.attributes.get("id") == "corpora"]
    rows = part.all("tbody")[0].all("tr")
    assert len(rows) == len(unit["stats"]) == 2
    for row, stats in zip(rows, unit["stats"], strict=True):
        assert row.all("a")[0].text == stats["corpus"]
        assert format_share(stats["density"]) in row.text
        assert " ".join(stats["top_token"].split()) in " ".join(row.text.split())
        label = next(each for each in unit["labels"] if each["corpus"] == stats["corpus"])
        assert ("unexplained" in row.text) != label["is_explained"]
    current = [row.all("a")[0].attributes.get("aria-current") for row in rows]
    assert sorted(map(str, current)) == ["None", "page"]
    hrefs = [row.all("a")[0].attributes["href"] for row in rows]
    assert sum("corpus=" in href for href in hrefs) == 1
    assert all(client.get(href).status_code == 200 for href in hrefs)


def test_a_unit_of_one_corpus_has_no_table_of_them(client: TestClient) -> None:
    assert 'id="corpora"' not in client.get("/tiny-b/mlp-0/2").text
    assert 'id="corpora"' not in client.get("/tiny-a/mlp-0/2?embed=1").text


def test_only_complete_scans_that_are_there_are_labelled(
    module_engine: Engine, labelled: Seeded
) -> None:
    with pytest.raises(NotFound, match="no job 999"):
        label_scan(module_engine, 999, lambda _: None)
    with pytest.raises(NotFound, match="other-text"):
        label_model(module_engine, "tiny-b", "other-text", lambda _: None)
    with db.session(module_engine) as session:
        last = session.scalars(select(Scan.id).order_by(Scan.id.desc()).limit(1)).one()
        session.execute(update(Scan).where(Scan.id == last).values(status="running"))
    try:
        with pytest.raises(Conflict, match="is running"):
            label_scan(module_engine, last, lambda _: None)
    finally:
        with db.session(module_engine) as session:
            session.execute(update(Scan).where(Scan.id == last).values(status="complete"))


def test_labels_made_again_are_the_same(module_engine: Engine, labelled: Seeded) -> None:
    said: list[str] = []
    first = label_model(module_engine, "tiny-a", "code", said.append)
    assert first == label_model(module_engine, "tiny-a", "code", said.append)
    assert isinstance(first, Labelled)
    assert said == ["Labelling 44 units"] * 2


def test_a_rule_stands_among_those_of_the_library(
    module_engine: Engine, labelled: Seeded, client: TestClient
) -> None:
    with db.session(module_engine) as session:
        scan_id = session.scalars(select(Scan.id).order_by(Scan.id).limit(1)).one()
        found = open_text(session, scan_id)
    a = labelled.atlases["tiny-a", "mlp-0", "code"].astype(np.float64)[:, 2]
    scores = [r2_of(a, each.matched) for each in library(found)]
    asked = {"rule": {"class": "digit"}, "corpus": "code"}
    answer = client.post(f"/api/v1{PATH}/mlp-0/units/2/test", json=asked).json()
    place = answer["library"]
    assert place["n_rules"] == len(scores)
    assert place["best"]["r2"] == pytest.approx(max(scores), rel=1e-4)
    assert place["place"] == 1 + sum(each > answer["r2"] * (1 + 1e-5) for each in scores)
    best = client.post(
        f"/api/v1{PATH}/mlp-0/units/2/test",
        json={"rule": _rule(place["best"]["text"]), "corpus": "code"},
    ).json()
    assert best["library"]["place"] == 1
    page = client.get("/tiny-a/mlp-0/2/test", params={"rule": ":digit"}).text
    assert "of the library’s" in page


def _rule(line: str) -> object:
    return to_value(parse_rule(line))


@pytest.mark.parametrize("order", [None, "asc"])
def test_units_are_listed_by_how_much_is_explained(
    labelled: Seeded, walk: Get, order: str | None
) -> None:
    asked = {"sort": "r2"} if order is None else {"sort": "r2", "order": order}
    units = walk(f"{PATH}/mlp-0/units", 2, **asked)
    assert {each["index"] for each in units} == {
        each["index"] for each in walk(f"{PATH}/mlp-0/units", 50) if each["label"] is not None
    }
    keys = [(each["label"]["r2"], each["index"]) for each in units]
    assert keys == sorted(keys, reverse=order is None)


def test_a_page_lists_them_by_its_column_and_keeps_other_filters(
    labelled: Seeded, client: TestClient
) -> None:
    page = parse(client.get("/tiny-a/mlp-0?sort=r2&alive=true").text)
    (heading,) = [each for each in page.all("th") if "R²" in each.text]
    assert heading.attributes["aria-sort"] == "descending"
