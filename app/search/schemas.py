"""Units found by a search."""

from typing import Literal

from pydantic import BaseModel, Field

from app.units.schemas import UnitKind, UnitRow


class UnitHit(BaseModel):
    """A unit that answers a search, with what it was found by."""

    model: str
    source: str
    index: int
    kind: UnitKind
    layer: int
    corpus: str = Field(description="The corpus that `unit` was measured on.")
    found_by: Literal["address", "token", "logit", "label", "explanation"] = Field(
        description="Words are found in its newest `explanation`, or else in its automatic `label`."
    )
    tokens: list[str] = Field(
        description="The tokens that were looked for; none for an address or for words."
    )
    share: float | None = Field(
        None, description="`token`: of the unit's positive activation, what falls on the tokens."
    )
    rank: int | None = Field(
        None, description="`logit`: place among the tokens that the unit promotes; 1 is the first."
    )
    value: float | None = Field(None, description="`logit`: the promoted token's value.")
    unit: UnitRow
