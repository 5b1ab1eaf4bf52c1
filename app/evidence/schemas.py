"""Reports on recovered loss as REST takes and gives them."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from app.evidence.loss import DEFAULT_WINDOWS, MAX_SEED, MAX_WINDOWS
from app.rule_search.schemas import Loss, Slug
from app.rules.given import RuleInput


class LossQuestion(BaseModel):
    """How much of the unit's part in the model's loss does the rule recover?"""

    model_config = ConfigDict(extra="forbid")

    rule: RuleInput
    corpus: Slug | None = Field(None, description="By default the unit's largest.")
    n_windows: int = Field(
        DEFAULT_WINDOWS, ge=1, le=MAX_WINDOWS, description="Windows of the scan's sample at most."
    )
    seed: int = Field(0, ge=0, le=MAX_SEED, description="Of the windows, and of the intervals.")
    again: bool = Field(
        False, description="Measure anew what is complete by the same settings already."
    )


class LossAnswer(Loss):
    """A report: asked for, under way, measured, or what kept it from being measured."""

    model: str
    source: str
    index: int
    corpus: str
    rule: dict[str, object]
    text: str = Field(description="The rule in one line.")
    n_windows: int
    seed: int
    is_served: bool = Field(
        description="Whether a worker is alive that measures. `unitscope worker` starts one."
    )
    n_attempts: int = Field(description="Times that it was begun; after three it has failed.")
    software_version: str
    created_at: datetime
    links: dict[str, str] = Field(description="`self`, and the `page` of the evidence.")
