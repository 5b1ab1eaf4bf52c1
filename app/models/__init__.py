"""Tables, one file per group; no queries here."""

from app.models.base import Base
from app.models.corpora import Corpus, Document, TokenWindow
from app.models.language_models import LanguageModel, Token, Tokenizer
from app.models.scans import CompletedIndex, Examples, Scan, ScanSource, UnitStats
from app.models.sources import Source, Unit

__all__ = [
    "Base",
    "CompletedIndex",
    "Corpus",
    "Document",
    "Examples",
    "LanguageModel",
    "Scan",
    "ScanSource",
    "Source",
    "Token",
    "TokenWindow",
    "Tokenizer",
    "Unit",
    "UnitStats",
]
