"""Explanations as pages and REST give and take them."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

MAX_TEXT = 2000

Text = Annotated[
    str,
    Field(
        description=f"1 to {MAX_TEXT:,} characters. Kept in Unicode's form NFC, lines ended by "
        "newlines alone, without blanks around it."
    ),
]


class UnitExplanation(BaseModel):
    """What a person says that a unit responds to, beside the unit itself."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    text: str
    author: str = Field(description="The name of the token by which it was written.")
    created_at: AwareDatetime
    updated_at: AwareDatetime = Field(description="When the text was last changed.")


class ExplanationLinks(BaseModel):
    """Addresses that go with an explanation."""

    self: str
    page: str = Field(description="Where the unit's page shows it.")
    unit: str


class ExplanationDetail(UnitExplanation):
    """What a person says that a unit responds to."""

    model: str
    source: str
    index: int
    links: ExplanationLinks


class ExplanationExport(ExplanationDetail):
    """An explanation to be taken elsewhere: with it the weights that it speaks of."""

    model_weights_hash: str
    source_weights_hash: str


class NewExplanation(BaseModel):
    """What a unit responds to."""

    model_config = ConfigDict(extra="forbid")

    text: Text


class ExplanationChange(BaseModel):
    """What it is to say instead."""

    model_config = ConfigDict(extra="forbid")

    text: Text
