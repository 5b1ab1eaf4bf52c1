"""Search by rule and the evidence on a unit, as pages."""

import pytest
from fastapi.testclient import TestClient

from app.numbers import format_correlation, format_share
from app.rule_search import evidence, service
from app.rule_search.evidence_page import EvidenceForm, EvidencePage
from app.rule_search.names import NAMES
from app.rule_search.schemas import Evidence
from app.units.schemas import LeftOut
from tests.integration.pages.markup import parse
from tests.integration.seed import ON_SCRIPT

RULE = r"/<\/script>/"
REPORT = f"/tiny-a/sae-1/{ON_SCRIPT}/test"


def shown(client: TestClient, path: str, **parameters: str) -> str:
    answer = client.get(path, params=parameters or None)
    assert answer.status_code == 200, answer.text
    return " ".join(parse(answer.text).text.split())


def test_a_rule_finds_units_and_says_how_it_was_understood(client: TestClient) -> None:
    asked = {"q": RULE, "model": "tiny-a", "source": "sae-1"}
    answer = client.get("/search", params=asked)
    page = parse(answer.text)
    assert f"Understood as the rule {RULE}" in " ".join(page.text.split())
    first = page.all("tbody")[0].all("tr")[0].all("a")
    assert first[0].text == f"sae-1/{ON_SCRIPT}"
    assert "evidence" in first[-1].text
    report = client.get(first[-1].attributes["href"])
    assert report.status_code == 200


def test_sorting_and_the_source_stand_in_the_address(client: TestClient) -> None:
    asked = {"q": ":word_start", "model": "tiny-a", "sort": "mcc", "source": "mlp-1"}
    page = parse(client.get("/search", params=asked).text)
    rows = page.all("tbody")[0].all("tr")
    assert all(row.all("a")[0].text.startswith("mlp-1/") for row in rows)
    (current,) = [th for th in page.all("th") if th.attributes.get("aria-sort")]
    assert current.text == "MCC"


def test_the_corpus_is_chosen_and_the_link_to_json_carries_it(client: TestClient) -> None:
    asked = {"q": ":word_start", "model": "tiny-a", "corpus": "other-text", "sort": "auroc"}
    page = parse(client.get("/search", params=asked).text)
    (corpus,) = [each for each in page.all("select") if each.attributes["name"] == "corpus"]
    options = corpus.all("option")
    assert {option.text for option in options} == {"code", "other-text"}
    assert [o.text for o in options if "selected" in o.attributes] == ["other-text"]
    (link,) = [a.attributes["href"] for a in page.all("a") if a.text == "JSON"]
    answer = client.get(link).json()
    assert (answer["corpus"], answer["sort"]) == ("other-text", "auroc")
    assert answer["chance"]["reached"] is not None


def test_the_corpus_can_be_changed_where_the_rule_holds_nowhere(client: TestClient) -> None:
    page = parse(client.get("/search", params={"q": "/no such text/", "model": "tiny-a"}).text)
    assert "corpus" in [each.attributes["name"] for each in page.all("select")]


def test_a_model_of_one_corpus_offers_none(client: TestClient) -> None:
    page = parse(client.get("/search", params={"q": ":word_start", "model": "tiny-b"}).text)
    names = [each.attributes["name"] for each in page.all("select")]
    assert "source" in names and "corpus" not in names


@pytest.mark.parametrize(
    ("q", "words"),
    [
        ('prev("=") & :digit', "Read as a rule: Column 1: there is no prev(...)"),
        (":number", "Did you mean :digit?"),
        ("/(/", "missing"),
        ("within(5 :digit)", "Column"),
        ("rule: nonsense", "Column"),
        ('{"regex": 1}', "rule.regex"),
        ("/no such text/", "0 of"),
        ("rule: :digit | :nope", "nope"),
    ],
)
def test_a_rule_that_cannot_be_asked_or_finds_nothing_says_why(
    client: TestClient, q: str, words: str
) -> None:
    assert words in shown(client, "/search", q=q, model="tiny-a")


def test_chance_is_told_apart(client: TestClient) -> None:
    said = shown(client, "/search/chance", q=":word_start", model="tiny-a")
    assert "the best of the" in said or "cannot be told" in said


def test_a_token_leads_to_the_same_as_a_rule(client: TestClient) -> None:
    answer = client.get("/search", params={"q": '"</script>"', "model": "tiny-a"})
    (link,) = [a for a in parse(answer.text).all("a") if a.text == "units that follow it as a rule"]
    assert "Understood as the rule" in shown(client, link.attributes["href"])


def test_the_report_shows_figures_and_what_speaks_against_the_rule(client: TestClient) -> None:
    said = shown(client, REPORT, rule=RULE)
    for words in ("AUROC", "By interval of activation", "It fires and the rule is silent"):
        assert words in said
    assert "Over other corpora other-text" not in said and "other-text" in said


def test_where_the_sample_is_one_document_it_says_that_there_are_no_intervals(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Intervals by bootstrap over the sample’s" in shown(client, REPORT, rule=RULE)

    for module in (evidence, service):
        monkeypatch.setattr(module, "count_documents", lambda _: 1)
    assert "No intervals: " in shown(client, REPORT, rule=RULE)
    assert "There are no intervals: " in shown(client, "/search", q=RULE, model="tiny-a")


def test_every_figure_has_its_rank_and_the_rule_its_base_rate(client: TestClient) -> None:
    asked = {"rule": RULE, "corpus": "other-text"}
    page = parse(client.get(REPORT, params=asked).text)
    text = " ".join(page.text.split())
    report = client.get(f"/api/v1/models/tiny-a/sources/sae-1/units/{ON_SCRIPT}/test", params=asked)
    said = report.json()
    assert f"{format_share(said['n_matched'] / said['n_positions'])} of them" in text
    rows = [[" ".join(td.text.split()) for td in row.all("td")] for row in page.all("tr")]
    shown = {row[0]: row[-1] for row in rows if len(row) == 4}
    for rank in said["ranks"]:
        shared = f" ({rank['n_equal']} share it)" if rank["n_equal"] > 1 else ""
        assert shown[NAMES[rank["sort"]]] == f"{rank['place']}{shared}"
    assert f"of the {said['ranks'][0]['n_units']} units of tiny-a scanned over other-text" in text


def test_corpora_stand_side_by_side_and_differences_are_in_words(client: TestClient) -> None:
    asked = {"rule": ":word_start"}
    page = parse(client.get("/tiny-a/mlp-0/7/test", params=asked).text)
    path = "/api/v1/models/tiny-a/sources/mlp-0/units/7/test"
    report = client.get(path, params=asked).json()
    (other,) = report["others"]
    (table,) = [t for t in page.all("table") if "by-corpus" in t.attributes.get("class", "")]
    rows = {row.all("td")[0].text: row.all("td")[1:] for row in table.all("tr")[1:]}
    for name, label in NAMES.items():
        here, there = (" ".join(cell.text.split()) for cell in rows[label])
        assert here.startswith(format_correlation(report[name]))
        assert format_correlation(other[name]) in there and "[" in there
        assert there.startswith("differs") == (name in other["differs_in"])
    text = " ".join(page.text.split())
    assert ("do not overlap" in text) == bool(other["differs_in"])


def page_of(report: Evidence) -> EvidencePage:
    unit = None  # is not looked at
    return EvidencePage(unit, 7, EvidenceForm(), report, None, None)  # type: ignore[arg-type]


def test_sources_that_are_left_out_for_one_reason_are_named_together(client: TestClient) -> None:
    path = "/api/v1/models/tiny-a/sources/mlp-0/units/7/test"
    report = Evidence.model_validate(client.get(path, params={"rule": ":word_start"}).json())
    reasons = {"a": "was not scanned over c", "b": "has no atlas.", "d": "was not scanned over c"}
    left_out = [LeftOut(source=each, reason=reason) for each, reason in reasons.items()]
    page = page_of(report.model_copy(update={"left_out": left_out}))
    assert page.left_out == ["a, d (not scanned over c)", "b (has no atlas)"]


def test_how_counter_examples_were_chosen_is_told_where_not_all_are_shown() -> None:
    page = page_of(None)  # type: ignore[arg-type]
    assert page.about_cases(1672, 12, "the strongest") == "1,672 cases, 12 shown: the strongest."
    assert page.about_cases(1, 1, "the strongest") == "1 case."


def test_differences_are_told_by_name_and_not_where_there_are_no_intervals(
    client: TestClient,
) -> None:
    path = "/api/v1/models/tiny-a/sources/mlp-0/units/7/test"
    report = Evidence.model_validate(client.get(path, params={"rule": ":word_start"}).json())
    (other,) = report.others

    def said(**changed: object) -> str:
        found = report.model_copy(update={"others": [other.model_copy(update=changed)]})
        return page_of(found).differences[0]

    assert said(differs_in=["recall", "mcc"]).startswith(
        "Over other-text MCC and recall differ from"
    )
    assert said(differs_in=["r2"]).startswith("Over other-text R² differs from code")
    assert said(differs_in=[]).startswith("Over other-text no figure")
    assert "the sample of other-text is one document" in said(differs_in=[], n_documents=1)


def test_tokens_where_the_rule_holds_are_outlined_in_counter_examples(client: TestClient) -> None:
    page = parse(client.get("/tiny-a/mlp-0/7/test", params={"rule": ":word_start"}).text)
    without, despite = page.all("ol")[-2:]
    about = [each.attributes.get("class", "").split() for each in without.all("t-k")]
    marked = [flags for flags in about if "m" in flags]
    assert marked and not any("r" in flags for flags in marked)
    assert any("r" in flags for flags in about)
    about = [each.attributes.get("class", "").split() for each in despite.all("t-k")]
    marked = [flags for flags in about if "m" in flags]
    assert marked and all("r" in flags for flags in marked)
    assert "Outlined: the rule holds" in " ".join(page.text.split())
    assert "12 shown: the strongest, one a window" in " ".join(page.text.split())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rule": "/(/"}, "missing"),
        ({"rule": ":digit", "threshold": "-1"}, "threshold"),
        ({"rule": ":digit", "threshold": "<b>"}, "threshold"),
        ({}, "Type a rule"),
        ({"rule": "<script>alert(1)</script>"}, "Column"),
    ],
)
def test_a_report_that_cannot_be_made_says_why(
    client: TestClient, given: dict[str, str], words: str
) -> None:
    answer = client.get(REPORT, params=given)
    assert answer.status_code == 200
    assert words in " ".join(parse(answer.text).text.split())
    assert "<script>alert" not in answer.text


def test_a_report_on_what_is_not_there_is_not_found(client: TestClient) -> None:
    for path in ("/tiny-a/sae-1/9999/test", "/tiny-a/nope/1/test", "/nope/x/1/test"):
        assert client.get(path, params={"rule": ":digit"}).status_code == 404
    assert client.get(REPORT, params={"rule": ":digit", "corpus": "nope"}).status_code == 404
