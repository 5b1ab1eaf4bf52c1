"""What figures are called on pages, in their order there, and what they mean in a sentence."""

from app.rule_search.figures import Figure

NAMES: dict[Figure, str] = {
    "mcc": "MCC",
    "auroc": "AUROC",
    "mass_explained": "mass explained",
    "r2": "R²",
    "precision": "precision",
    "recall": "recall",
}
ABOUT: dict[Figure, str] = {
    "auroc": "Probability that the activation is greater at a position where the rule holds than "
    "at one where it does not; ties count half",
    "mcc": "Matthews’ correlation of firing with the rule",
    "mass_explained": "Of the unit’s summed positive activation, what falls where the rule holds",
    "r2": "Share of the activation’s variance that its two means, where the rule holds and where "
    "not, account for",
    "precision": "Of the positions where the unit fires, those where the rule holds",
    "recall": "Of the positions where the rule holds, those where the unit fires",
}
