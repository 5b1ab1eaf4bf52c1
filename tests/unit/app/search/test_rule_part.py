"""A source that was not scanned over the corpus chosen is told apart from one that is not there."""

from types import SimpleNamespace
from typing import Any

import pytest

from app.search.rule_part import RuleForm, is_elsewhere


def source(slug: str, *corpora: str) -> Any:
    scans = [SimpleNamespace(corpus=SimpleNamespace(slug=corpus)) for corpus in corpora]
    return SimpleNamespace(source=SimpleNamespace(slug=slug), scans=scans)


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        (RuleForm(source="sae-1", corpus="notes"), True),
        (RuleForm(source="sae-1", corpus="code"), False),
        (RuleForm(source="mlp-0", corpus="notes"), False),
        (RuleForm(source="sae-1"), False),
        (RuleForm(corpus="notes"), False),
        (RuleForm(source="sae-1", corpus="nowhere"), False),
        (RuleForm(source="nothing", corpus="notes"), False),
    ],
)
def test_only_a_source_of_other_corpora_is_elsewhere(form: RuleForm, wanted: bool) -> None:
    found = [source("mlp-0", "code", "notes"), source("sae-1", "code")]
    assert is_elsewhere(found, form) is wanted
