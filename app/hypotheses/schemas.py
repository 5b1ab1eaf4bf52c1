"""Hypotheses as pages and REST give and take them."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.rule_search.schemas import RuleFigures, Slug, ThresholdInput
from app.rules.given import RuleInput

MAX_NAME = 200

Name = Annotated[
    str,
    Field(
        description=f"1 to {MAX_NAME} characters in one line, and only one of its unit's. Kept in "
        "Unicode's form NFC, blanks as one space."
    ),
]


class Figures(RuleFigures):
    """What the report of evidence said when the rule was saved; a newer scan does not change it."""

    scan: int = Field(description="Whose atlas was asked; its number as in `/jobs`.")
    n_positions: int = Field(description="Positions of the atlas, all examined.")
    n_matched: int = Field(description="Those where the rule holds.")
    threshold_asked: ThresholdInput = Field(
        description="As it was given; `threshold` is the stored activation that it came to."
    )
    software_version: str


class HypothesisLinks(BaseModel):
    """Addresses that go with a hypothesis."""

    self: str
    page: str = Field(description="Where the unit's page shows it.")
    evidence: str = Field(description="The page of the evidence as of now.")
    unit: str


class HypothesisDetail(BaseModel):
    """A rule saved for a unit under a name, with the figures that it had then."""

    id: int
    model: str
    source: str
    index: int
    name: str
    rule: dict[str, object]
    text: str = Field(description="The rule in one line, as the search box takes it.")
    corpus: str = Field(description="Whose atlas was asked.")
    figures: Figures
    author: str = Field(description="The name of the token by which it was saved.")
    created_at: AwareDatetime
    updated_at: AwareDatetime = Field(
        description="When the name, or the rule and figures, were set."
    )
    links: HypothesisLinks


class HypothesisExport(HypothesisDetail):
    """A line of `unitscope export hypotheses`: with it the weights that it speaks of."""

    model_weights_hash: str
    source_weights_hash: str


class NewHypothesis(BaseModel):
    """A rule to hold against a unit and save; the server computes the figures."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    rule: RuleInput
    corpus: Slug | None = Field(None, description="By default the unit's largest.")
    threshold: ThresholdInput = 0.0


class HypothesisChange(BaseModel):
    """What to change; at least one."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    rule: RuleInput | None = Field(
        None,
        description="Held against the unit anew, over the same corpus and with the threshold that "
        "was asked, even where it is the same rule.",
    )
