"""What a unit is to pages and to REST: both are rendered from these, so that they agree."""

from typing import Literal

from pydantic import BaseModel, Field

ExampleKind = Literal["top", "bottom", "interval", "random"]
UnitKind = Literal["neuron", "sae_latent", "transcoder_latent"]


class Histogram(BaseModel):
    """Activations over the atlas sample; positions of exactly 0 stand apart in `n_zero`."""

    edges: list[float] = Field(description="Bin edges, ascending; one more than `counts`.")
    counts: list[int]
    n_zero: int = Field(description="Sampled positions where the activation is exactly 0.")
    n_positions: int = Field(description="Sampled positions in all: the counts and `n_zero`.")


class Interval(BaseModel):
    """A half-open band [low, high) of activation; the last one of a unit is closed."""

    index: int
    low: float
    high: float
    share_of_positions: float = Field(description="Of the sampled positions; sums to 1.")
    share_of_mass: float = Field(description="Of the summed |activation|; sums to 1, or all 0.")


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
    page: str


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
    labels: list[str] = Field(description="Labels given to the unit; none are made yet.")
    neighbours: list[str] = Field(description="Units of similar activation; none computed yet.")
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
        "minimum (bottom), or the sampled one (interval, random)."
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
