"""Rule search and evidence as REST gives them; pages are rendered from the same."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.cursors import MAX_LIMIT
from app.rule_search.figures import USUAL_SORT, Figure
from app.rules.given import RuleInput
from app.units.schemas import Example, LeftOut, UnitKind, UnitRow

MAX_SOURCES = 500
MAX_SLUG = 200
TOOK = "Null in the answer to a GET, which is the same for as long as the data are."

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Slug = Annotated[str, Field(max_length=MAX_SLUG)]
ThresholdInput = Annotated[
    Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["best"],
    Field(
        description="A unit fires where its stored activation is above this; `best`: above the one "
        "of its levels that gives it the greatest mcc, which flatters."
    ),
]


class RuleQuestion(BaseModel):
    """Which units follow a rule? Filters apply before the top is taken."""

    model_config = ConfigDict(extra="forbid")

    rule: RuleInput
    sources: Annotated[list[Slug], Field(min_length=1, max_length=MAX_SOURCES)] | None = Field(
        None, description="Only these sources' units; by default all of the model's."
    )
    corpus: Slug | None = Field(None, description="By default the largest that was scanned.")
    kinds: Annotated[list[UnitKind], Field(min_length=1)] | None = None
    min_density: Share | None = None
    max_density: Share | None = None
    sort: Figure = USUAL_SORT
    threshold: ThresholdInput = 0.0
    chance: bool = Field(
        False,
        description="Also search with the rule moved to other places, to tell what the best of so "
        "many units reaches by chance; takes as long as a few searches.",
    )
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 50


class Confusion(BaseModel):
    """Positions by whether the unit fires and whether the rule holds."""

    tp: int = Field(description="It fires and the rule holds.")
    fp: int = Field(description="It fires, the rule does not hold.")
    fn: int = Field(description="It does not fire, the rule holds.")
    tn: int


class RuleFigures(BaseModel):
    """What a unit has to do with a rule, over the atlas's positions; null where undefined."""

    auroc: float | None = Field(
        description="Probability that the activation is greater at a position where the rule holds "
        "than at one where it does not; ties count half."
    )
    mcc: float | None = Field(description="Matthews' correlation of firing with the rule.")
    mass_explained: float | None = Field(
        description="Of the summed positive activation, what falls where the rule holds."
    )
    r2: float | None = Field(
        description="Share of the activation's variance that its mean where the rule holds and its "
        "mean elsewhere account for."
    )
    precision: float | None = Field(description="Of the positions where it fires: rule holds.")
    recall: float | None = Field(description="Of the positions where the rule holds: it fires.")
    ci: dict[Figure, tuple[float, float] | None] = Field(
        description="95% intervals by bootstrap over documents; for a precision, recall or mass "
        "explained of exactly 0 or 1 the rule of three over the n documents that have a say, up to "
        "3/n or down to 1 - 3/n. Null where the figure is undefined in half of the draws, and all "
        "of them where `n_documents` is 1: a text file is one document."
    )
    threshold: float = Field(description="The stored activation above which it counts as firing.")
    confusion: Confusion


class RuleHit(RuleFigures):
    """A unit in the answer to a rule."""

    model: str
    source: str
    index: int
    kind: UnitKind
    layer: int
    unit: UnitRow


class Chance(BaseModel):
    """The greatest figure that any unit reaches when the rule is moved to where it is wrong."""

    best: list[float] = Field(description="One for each move, in the order tried.")
    reached: float | None = Field(description="The greatest of them.")


class Control(BaseModel):
    """The best unit of a control model, over the same windows: what random weights reach."""

    model: str
    source: str
    index: int
    value: float = Field(description="Its figure, by what is sorted by.")
    n_units: int
    page: str


class RuleAnswer(BaseModel):
    """All units ranked by how well they follow a rule, exactly over the atlas."""

    items: list[RuleHit]
    rule: dict[str, object] = Field(description="As it was understood.")
    text: str = Field(description="The rule in one line, as the search box takes it.")
    sort: Figure
    corpus: str
    n_units: int = Field(description="Units that were ranked: those that pass the filters.")
    n_defined: int = Field(description="Those of which the figure sorted by can be said.")
    n_positions: int = Field(description="Positions of the atlas, all examined.")
    n_matched: int = Field(description="Those where the rule holds.")
    n_documents: int = Field(description="Documents of the atlas; of one alone nothing has a `ci`.")
    exact: Literal[True] = True
    took_ms: float | None = Field(description=TOOK)
    chance: Chance | None = None
    controls: list[Control] = Field(
        default_factory=list, description="With `chance`: the best of each control model."
    )
    hints: list[str] = Field(description="Where the rule holds nowhere: why, and what is near.")
    left_out: list[LeftOut]


class EvidenceQuestion(BaseModel):
    """Does a rule describe this unit?"""

    model_config = ConfigDict(extra="forbid")

    rule: RuleInput
    corpus: Slug | None = Field(None, description="By default the unit's largest.")
    threshold: ThresholdInput = 0.0


class Band(BaseModel):
    """An interval of activation, and for how much of it the rule holds."""

    low: float
    high: float
    n_positions: int
    n_matched: int
    share_matched: float | None = Field(description="n_matched / n_positions.")
    mass_explained: float | None = Field(description="Of the band's summed |activation|.")


class AtThreshold(BaseModel):
    """What moving the threshold would give; null where undefined."""

    threshold: float
    precision: float | None
    recall: float | None
    mcc: float | None


class CounterExample(Example):
    """A position that speaks against the rule, with its token window.

    Activations are those that the atlas stores: 8 bits, and 0 below the unit's floor.
    """

    matched: list[int] = Field(description="Tokens of the window at which the rule holds.")


class CounterExamples(BaseModel):
    """Of each kind a few, at most one a window, and how many there are in all."""

    n_fires_without: int
    fires_without: list[CounterExample] = Field(
        description="It fires and the rule is silent: the strongest of each window, strongest "
        "first."
    )
    n_silent_despite: int
    silent_despite: list[CounterExample] = Field(
        description="The rule holds and the unit does not fire: windows drawn at random, one case "
        "in each."
    )


class CorpusFigures(RuleFigures):
    """The same unit and rule over one corpus."""

    corpus: str
    n_positions: int
    n_matched: int
    n_documents: int = Field(description="Documents of the atlas; of one alone there is no `ci`.")


class OtherCorpus(CorpusFigures):
    """The same over another corpus of the unit."""

    differs_in: list[Figure] = Field(
        description="Figures whose 95% intervals over the two corpora do not overlap."
    )


class Rank(BaseModel):
    """The unit's place for this rule among the units of its model that were compared.

    Those are all units of the sources scanned over the corpus; `left_out` names the others.
    """

    sort: Figure
    place: int | None = Field(
        description="1 + the number of units whose figure is greater; null where it is undefined."
    )
    n_equal: int | None = Field(
        description="Units that share the place, this one among them: 1 where it stands alone."
    )
    n_units: int


class LibraryRule(BaseModel):
    """A rule of the library, and what it explains of the unit."""

    text: str
    words: str = Field(description="The rule in plain words.")
    r2: float


class LibraryRank(BaseModel):
    """Where the rule stands among those of the library made from the corpus, by r2, which no
    threshold enters; 1: none of them explains more of the unit."""

    place: int | None = Field(description="Null where the rule's r2 is undefined.")
    n_rules: int
    best: LibraryRule | None = Field(
        description="The one that explains most, which is the unit's automatic label if it is "
        "enough; null where the unit's mean is greater under none."
    )


class Loss(BaseModel):
    """How much of the unit's part in the model's loss the rule recovers, as it was measured."""

    status: Literal["queued", "running", "complete", "failed"]
    error: str | None = Field(description="In words, what went wrong last.")
    is_measurable: bool | None = Field(
        description="False where the ablation's effect does not stand out from zero."
    )
    ratio: float | None = Field(
        description="(loss with the unit at its mean - loss with the rule's two means) / (loss "
        "with the unit at its mean - loss intact)."
    )
    ratio_low: float | None = Field(description="The 95% interval, by bootstrap over documents.")
    ratio_high: float | None
    loss_intact: float | None = Field(description="Nats a token.")
    loss_mean: float | None = Field(description="With the unit at its mean.")
    loss_rule: float | None = Field(description="With the unit at the rule's two means.")
    n_tokens: int | None
    n_documents: int | None


class Evidence(CorpusFigures):
    """The report on one unit and one rule."""

    model: str
    source: str
    index: int
    kind: UnitKind
    rule: dict[str, object]
    text: str
    floor: float = Field(description="Nearer to 0 than this is not stored, and counts as 0.")
    bands: list[Band] = Field(description="By interval of activation, the lowest first.")
    thresholds: list[AtThreshold] = Field(
        description="At thresholds from 0 to the unit's maximum; empty for one never above 0."
    )
    ranks: list[Rank] = Field(description="By each figure.")
    left_out: list[LeftOut] = Field(
        description="Sources of the model whose units are not among those of `ranks`, and why."
    )
    library: LibraryRank
    others: list[OtherCorpus] = Field(description="The same over the unit's other corpora.")
    controls: list[Control] = Field(
        description="The best unit of each control model, by mcc: a figure that random weights "
        "reach says little."
    )
    loss: Loss | None = Field(description="Null where `unitscope loss` has not measured it.")
    counter_examples: CounterExamples
    hints: list[str]
    took_ms: float | None = Field(description=TOOK)
