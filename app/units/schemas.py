"""What a unit is to pages and to REST: both are rendered from these, so that they agree."""

from typing import Literal

from pydantic import BaseModel, Field

from app.cursors import Page
from app.explanations.schemas import UnitExplanation
from app.labels.schemas import UnitLabel

ExampleKind = Literal["top", "bottom", "interval", "random", "active"]
SimilarBy = Literal["activation", "direction"]
UnitKind = Literal["neuron", "sae_latent", "transcoder_latent"]


class Histogram(BaseModel):
    """Activations over the atlas sample; positions of exactly 0 stand apart in `n_zero`."""

    edges: list[float] = Field(description="Bin edges, ascending; one more than `counts`.")
    counts: list[int]
    n_zero: int = Field(description="Sampled positions where the activation is exactly 0.")
    n_positions: int = Field(description="Sampled positions in all: the counts and `n_zero`.")
    n_windows: int | None = Field(
        None,
        description="Sampled windows; null where an earlier version scanned, which did not say.",
    )


class Interval(BaseModel):
    """A half-open band [low, high) of activation; the last one of a unit is closed."""

    index: int
    low: float
    high: float
    share_of_positions: float = Field(description="Of the sampled positions; sums to 1.")
    share_of_positions_error: float | None = Field(
        None,
        description="Standard error of the share as an estimate for the corpus, by documents; "
        "null where the sample is all of the corpus or of one document, or an earlier version's.",
    )
    share_of_mass: float = Field(description="Of the summed |activation|; sums to 1, or all 0.")
    share_of_mass_error: float | None = Field(None, description="As share_of_positions_error.")


class Stats(BaseModel):
    """What one unit did over one corpus; all but the histogram and intervals is exact."""

    corpus: str
    n_tokens: int = Field(description="Counted positions: no BOS, no padding.")
    n_active: int = Field(description="Counted positions with activation > 0.")
    density: float = Field(description="n_active / n_tokens.")
    max: float
    min: float
    mean: float
    std: float
    skewness: float | None
    kurtosis: float | None = Field(description="Excess kurtosis; null where std is 0.")
    top_token: str | None = Field(
        None, description="The token that carries most of its activation in the sample."
    )
    histogram: Histogram
    intervals: list[Interval]


class TokenValue(BaseModel):
    """A token and a number that goes with it, such as a logit."""

    token_id: int
    token: str
    value: float


class LogitLens(BaseModel):
    """Tokens that the unit's output direction promotes and suppresses most."""

    positive: list[TokenValue] = Field(description="Most promoted first.")
    negative: list[TokenValue] = Field(description="Most suppressed first.")


class Links(BaseModel):
    """Addresses that go with a unit."""

    self: str
    page: str
    examples: str
    tokens: str
    similar: str
    explanations: str
    hypotheses: str
    previous: str | None
    next: str | None
    source: str


class UnitRow(BaseModel):
    """A unit in a list."""

    index: int
    n_active: int
    density: float
    max: float
    min: float
    mean: float
    std: float
    top_token: str | None = Field(description="The token that carries most of its activation.")
    promoted: list[str] = Field(description="The few tokens it promotes most.")
    label: UnitLabel | None = Field(
        None,
        description="The automatic one; null where none was made: the unit is too rare in the "
        "sample.",
    )
    explanation: UnitExplanation | None = Field(
        None, description="The newest by a person, which stands in the label's place on pages."
    )
    page: str


class UnitLinks(BaseModel):
    """Addresses that go with a unit in a list."""

    self: str
    page: str
    examples: str
    similar: str
    source: str


class SimilarUnit(BaseModel):
    """A unit that is like another one."""

    model: str
    source: str
    index: int
    kind: UnitKind
    layer: int
    value: float = Field(
        description="by=activation: Pearson's correlation over all positions of the atlas; "
        "by=direction: cosine of the output directions."
    )
    density: float | None = Field(description="Null where it was not scanned over the corpus.")
    max: float | None = Field(description="Null where it was not scanned over the corpus.")
    top_token: str | None = Field(description="The token that carries most of its activation.")
    promoted: list[str] = Field(description="The few tokens it promotes most.")
    label: UnitLabel | None = Field(
        None, description="The automatic one over the corpus; null where none was made."
    )
    explanation: UnitExplanation | None = Field(None, description="The newest by a person.")
    page: str
    links: UnitLinks


class LeftOut(BaseModel):
    """A source that could not be compared."""

    source: str
    reason: str


class SimilarUnits(Page[SimilarUnit]):
    """The units most like one, the most alike first; equal values go by layer, source, index."""

    by: SimilarBy
    corpus: str = Field(description="Whose atlas was read, and whose figures are shown.")
    n_units: int = Field(
        description="Units compared: all of the sources but itself and those without a value, "
        "which never vary or have no direction."
    )
    n_positions: int | None = Field(description="Positions compared; null for directions.")
    left_out: list[LeftOut]
    reason: str | None = Field(description="Why there are none; null where there are some.")


class Neighbours(BaseModel):
    """The ten units most like one, by activation over the largest corpus, and by direction."""

    activation: list[SimilarUnit] = []
    direction: list[SimilarUnit] = []
    reasons: dict[SimilarBy, str] = Field({}, description="Why a list is empty.")


class UnitDetail(BaseModel):
    """One unit, over every corpus that it was scanned on."""

    model: str
    source: str
    index: int
    kind: UnitKind
    hook_point: str
    hook_point_out: str
    layer: int
    stats: list[Stats]
    logit_lens: LogitLens
    labels: list[UnitLabel] = Field(
        description="At most one automatic label a corpus, the largest corpus first."
    )
    explanations: list[UnitExplanation] = Field(
        description="What people say of it, the newest first; the newest 50."
    )
    neighbours: Neighbours
    links: Links


class Example(BaseModel):
    """A token window and the unit's activations over it."""

    corpus: str
    window: int
    document: str
    char_start: int = Field(description="Character of the document where `text` starts.")
    text: str = Field(description="The document's text under the counted tokens, verbatim.")
    token_ids: list[int] = Field(description="As the model read them, a put-in BOS included.")
    tokens: list[str] = Field(
        description="One string a token; those of counted tokens join to `text`. A character "
        "that spans several tokens is in the first of them whole."
    )
    activations: list[float | None] = Field(
        description="One a token, decoded from 8 bits; null where not counted."
    )
    max_activation: float = Field(description="Exact maximum over the counted positions.")
    max_position: int
    position: int = Field(
        description="What the example is about: the position of the maximum (top), of the "
        "minimum (bottom), or the sampled one (interval); of random and active the maximum."
    )
    activation: float = Field(description="Exact activation at `position`.")
    interval: Interval | None = Field(description="The band of `activation`, where sampled.")


class TokenShare(BaseModel):
    """How much of a unit's activation falls on one token, over the atlas sample."""

    token_id: int
    token: str
    sum: float = Field(description="Summed positive activation on this token.")
    share: float = Field(description="Of the unit's summed positive activation.")
    mean: float = Field(description="sum / n: mean over all positions of the token.")
    n_active: int
    n: int = Field(description="Sampled positions of this token.")
