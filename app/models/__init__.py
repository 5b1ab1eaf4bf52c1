"""Tables, one file per group; no queries here."""

from app.models.access import AccessToken
from app.models.atlases import Atlas, AtlasPiece, Directions
from app.models.base import Base
from app.models.corpora import Corpus, Document, TokenWindow
from app.models.evidence import LossReport
from app.models.jobs import Partial, Shard, Worker
from app.models.labels import Label
from app.models.language_models import LanguageModel, Token, Tokenizer
from app.models.notes import Explanation, Hypothesis
from app.models.scans import CompletedIndex, Examples, Scan, ScanSource, UnitStats
from app.models.sources import Source, Unit

__all__ = [
    "AccessToken",
    "Atlas",
    "AtlasPiece",
    "Base",
    "CompletedIndex",
    "Corpus",
    "Directions",
    "Document",
    "Examples",
    "Explanation",
    "Hypothesis",
    "Label",
    "LanguageModel",
    "LossReport",
    "Partial",
    "Scan",
    "ScanSource",
    "Shard",
    "Source",
    "Token",
    "TokenWindow",
    "Tokenizer",
    "Unit",
    "UnitStats",
    "Worker",
]
