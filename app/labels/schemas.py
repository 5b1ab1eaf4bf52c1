"""What a label is to pages and to REST."""

from typing import Any, Literal

from pydantic import BaseModel, Field


class UnitLabel(BaseModel):
    """What a unit is said to respond to, and how much of it that accounts for.

    An automatic one is the rule, of a library made from the corpus, that explains most of the
    unit's variance; its figures are over the sample, at threshold 0. Null figures are undefined.
    """

    kind: Literal["automatic"] = "automatic"
    corpus: str
    words: str = Field(description="The rule in plain words.")
    rule: dict[str, Any]
    text: str = Field(description="The rule in one line, as the search box takes it.")
    r2: float = Field(
        description="Share of the activation's variance that its mean where the rule holds and its "
        "mean elsewhere account for."
    )
    mass_explained: float | None = Field(
        description="Of the summed positive activation, what falls where the rule holds."
    )
    precision: float | None = Field(description="Of the positions where it fires: rule holds.")
    recall: float | None = Field(description="Of the positions where the rule holds: it fires.")
    is_explained: bool = Field(
        description="Whether r2 is at least 0.2; where not, the unit counts as unexplained."
    )
