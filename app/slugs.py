"""Slugs: the names of models, sources and corpora in addresses."""

import re
import unicodedata

PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]*")
MAX_LENGTH = 100
# First path segments that the site itself answers; a model of that name would be out of reach.
RESERVED = frozenset(
    {
        "api",
        "static",
        "search",
        "corpora",
        "explanations",
        "hypotheses",
        "jobs",
        "notes",
        "sign-in",
        "sign-out",
        "healthz",
        "readyz",
        "metrics",
    }
)


def is_slug(text: str) -> bool:
    """Whether `text` can be a slug at all: `[a-z0-9][a-z0-9._-]*`, at most 100 characters."""
    return len(text) <= MAX_LENGTH and PATTERN.fullmatch(text) is not None


def slugify(name: str, *, fallback: str) -> str:
    """A slug that resembles `name`: `Qwen/Qwen3-0.6B` becomes `qwen3-0.6b`.

    The last part of a path or hub id; accents go, any other run of foreign characters becomes
    one hyphen. `fallback` where nothing is left; a reserved word gets `-model` behind it.
    """
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    ascii_ = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9._-]+", "-", ascii_)[:MAX_LENGTH].strip("-._")
    if not slug:
        return fallback
    return f"{slug}-model" if slug in RESERVED else slug
