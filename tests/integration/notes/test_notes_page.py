"""The page of all that people wrote of a model: hostile texts as text, one part after another."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from app import db
from app.access.tokens import Writer
from app.explanations import service as explanations
from app.hypotheses import service as hypotheses
from app.hypotheses.schemas import NewHypothesis
from app.main import create_app
from app.notes import pages
from app.rules.text import parse as parse_rule
from tests.integration.pages.markup import links, parse
from tests.integration.seed import seed

HOSTILE = "<script>alert(1)</script> {{ 7 * 7 }}"


@pytest.fixture(scope="module")
def client(module_engine: Engine) -> Iterator[TestClient]:
    seed(module_engine)
    ada = Writer("ada", frozenset())
    with db.session(module_engine) as session:
        for unit in range(5):
            explanations.write(session, "tiny-a", "sae-1", unit, f"{HOSTILE} {unit}", ada)
            new = NewHypothesis(name=f"{HOSTILE} {unit}", rule=parse_rule('" "'))
            hypotheses.save(session, "tiny-a", "mlp-0", unit, new, ada)
    with TestClient(create_app(module_engine)) as client:
        yield client


@pytest.mark.parametrize(("kind", "source"), [("explanations", "sae-1"), ("hypotheses", "mlp-0")])
def test_notes_are_listed_newest_first_and_lead_to_their_units(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, kind: str, source: str
) -> None:
    monkeypatch.setattr(pages, "PAGE_SIZE", 2)
    address, found = f"/notes?model=tiny-a&kind={kind}", []
    while address:
        answer = client.get(address)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text and "49" not in answer.text
        page = parse(answer.text)
        found += [each.text for each in page.all("td") if each.text.startswith(f"{source}/")]
        later = [each for each in page.all("a") if each.attributes.get("rel") == "next"]
        address = later[0].attributes["href"] if later else ""
    assert found == [f"{source}/{unit}" for unit in reversed(range(5))]


def test_a_model_leads_to_its_notes_and_one_without_any_says_so(client: TestClient) -> None:
    assert "/notes?model=tiny-a" in links(parse(client.get("/tiny-a").text))
    assert "None yet" in client.get("/notes?model=tiny-b").text
    assert client.get("/notes?model=nope").status_code == 404
