"""A unit whose atlas is gone: neither a report nor a hypothesis, and the reason in words."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from app import db
from app.access import tokens
from app.main import create_app
from tests.integration.seed import seed

UNIT = "/api/v1/models/tiny-a/sources/sae-1/units/5"
RULE = {"rule": {"class": "digit"}}


@pytest.mark.parametrize("call", ["test", "hypotheses"])
def test_a_rule_has_nothing_to_be_held_against(engine: Engine, call: str) -> None:
    seed(engine)
    with db.session(engine) as session:
        secret = tokens.create(session, "ada", ["hypotheses"])
        of_unit = "source_id IN (SELECT id FROM sources WHERE slug = 'sae-1')"
        session.execute(text(f"DELETE FROM atlases WHERE {of_unit}"))
    body = RULE | ({"name": "digits"} if call == "hypotheses" else {})
    with TestClient(create_app(engine)) as client:
        headers = {"Authorization": f"Bearer {secret}"}
        answer = client.post(f"{UNIT}/{call}", json=body, headers=headers)
        assert answer.status_code == 409, answer.text
        assert "sae-1" in answer.json()["detail"]
        assert client.get(f"{UNIT}/hypotheses").json()["items"] == []
