"""A small database with everything in it, built without any model: for pages and REST.

Two models share a tokenizer; `tiny-a` has two layers' neurons and an SAE's latents over two
corpora, `tiny-b` one layer's neurons over one. Texts are hostile: markup, NUL, an emoji and accents
cut into byte tokens, right-to-left text, invisible and bidirectional controls. Activations are
random but for a few units, and every figure stored is computed from them by plain NumPy, so that
tests can hold what is shown against `Seeded.activations`.

Units of every source: 3 is dead (never above zero, and for latents exactly zero), 4 has no
examples though it is alive, 5 fires only on the emoji, 1 on every position, 0 only on `</script>`.
"""

import re
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app import codec, partitions
from app.models import (
    Corpus,
    Document,
    Examples,
    LanguageModel,
    Scan,
    ScanSource,
    Source,
    Token,
    Tokenizer,
    TokenWindow,
    Unit,
    UnitStats,
)

CONTEXT = 24
BOS, BOS_TEXT = 0, "<|endoftext|>"
N_TOP, N_RANDOM = 8, 4
DEAD, WITHOUT_EXAMPLES, ON_EMOJI, ALWAYS, ON_SCRIPT = 3, 4, 5, 1, 0
SCRIPT = "</script>"
HOSTILE = [
    "x = \"</script><img src=x onerror=alert(1)>\" + '&amp;' # <!-- no comment -->",
    "null\x00byte, bell\x07, a tab\tand a\r\nline end\n\n\n    four spaces  two  ",
    "an emoji 🙂 alone, a family 👩‍👩‍👧 joined, café, naïve, 漢字 and ก็",
    "שלום עולם, مرحبا, then \u202eflipped\u202c and \u200bzero width\ufeff",
    "{{ template }} ${shell} %s {0} \\n '; DROP TABLE units; --",
    "e",
]
PLAIN = [
    f"def function_{i}(self, value):\n    return value + {i} if value in range({i}) else None\n"
    for i in range(14)
]
CORPORA = {"code": HOSTILE + PLAIN, "other-text": HOSTILE[:4]}
PIECES = re.compile(r"</script>| ?[A-Za-z_]+| ?\d| +|[^A-Za-z_\d ]")


@dataclass
class TinyTokenizer:
    """Words, digits and signs; whatever is not ASCII, one token a byte, as a byte-level BPE."""

    texts: list[str] = field(default_factory=lambda: [BOS_TEXT])
    ids: dict[bytes, int] = field(default_factory=dict)

    def encode(self, text: str) -> list[tuple[int, int]]:
        """(token id, the character where it starts)."""
        found: list[tuple[int, int]] = []
        for match in PIECES.finditer(text):
            raw = match[0].encode()
            parts = [raw] if match[0].isascii() else [bytes([byte]) for byte in raw]
            found += [(self._id(part), match.start()) for part in parts]
        return found

    def _id(self, raw: bytes) -> int:
        if raw not in self.ids:
            self.ids[raw] = len(self.texts)
            text = raw.decode("utf-8", errors="backslashreplace").replace("\0", "\\x00")
            self.texts.append(text)
        return self.ids[raw]


@dataclass
class TinyWindow:
    """A window before it is packed; position 0 is the BOS, which counts nowhere."""

    document: int
    char_start: int
    token_ids: list[int]
    starts: list[int]
    text: str
    is_duplicate: bool


@dataclass
class TinyCorpus:
    """A corpus with its texts, its windows and, once it is stored, its row's id."""

    slug: str
    documents: list[str]
    windows: list[TinyWindow]
    id: int = 0

    @property
    def counted_ids(self) -> np.ndarray:
        """Token ids of all counted positions, in order."""
        return np.concatenate([np.array(window.token_ids[1:]) for window in self.windows])


@dataclass
class Seeded:
    """What was stored: `activations[model, source, corpus]` is (counted positions, units)."""

    tokenizer: TinyTokenizer
    corpora: dict[str, TinyCorpus]
    activations: dict[tuple[str, str, str], np.ndarray]
    sources: dict[str, list[str]]


def seed(engine: Engine, seed: int = 0) -> Seeded:
    """Fills a migrated, empty database."""
    rng = np.random.default_rng(seed)
    tokenizer = TinyTokenizer()
    corpora = {slug: _cut(slug, texts, tokenizer) for slug, texts in CORPORA.items()}
    seeded = Seeded(tokenizer, corpora, {}, {})
    with Session(engine) as session, session.begin():
        tokenizer_id = _store_tokenizer(session, tokenizer)
        for corpus in corpora.values():
            _store_corpus(session, corpus, tokenizer_id)
        for model, sources, over in (
            ("tiny-a", ["mlp-0", "mlp-1", "sae-1"], ["code", "other-text"]),
            ("tiny-b", ["mlp-0"], ["code"]),
        ):
            seeded.sources[model] = sources
            _store_model(session, seeded, rng, model, tokenizer_id, over)
    return seeded


def _cut(slug: str, texts: list[str], tokenizer: TinyTokenizer) -> TinyCorpus:
    windows: list[TinyWindow] = []
    seen: set[tuple[int, ...]] = set()
    for index, text in enumerate(texts):
        tokens = tokenizer.encode(text)
        for begin in range(0, len(tokens), CONTEXT - 1):
            part = tokens[begin : begin + CONTEXT - 1]
            low = part[0][1]
            stops = [start for _, start in tokens[begin + CONTEXT - 1 :][:1]]
            # A character cut by the window's end is whole in both windows.
            high = stops[0] if stops else len(text)
            high = high + 1 if high == part[-1][1] else high
            ids = [BOS, *(token_id for token_id, _ in part)]
            starts = [0, *(start - low for _, start in part)]
            is_duplicate = tuple(ids) in seen
            seen.add(tuple(ids))
            windows.append(TinyWindow(index, low, ids, starts, text[low:high], is_duplicate))
    return TinyCorpus(slug, texts, windows)


def _store_tokenizer(session: Session, tokenizer: TinyTokenizer) -> int:
    row = Tokenizer(hash="tokenizer-hash", n_tokens=len(tokenizer.texts), bos_token_id=BOS)
    session.add(row)
    session.flush()
    session.add_all(
        Token(tokenizer_id=row.id, token_id=i, text=text, is_special=i == BOS)
        for i, text in enumerate(tokenizer.texts)
    )
    return row.id


def _store_corpus(session: Session, corpus: TinyCorpus, tokenizer_id: int) -> None:
    row = Corpus(
        slug=corpus.slug,
        name=f"{corpus.slug}.txt",
        hash=f"hash-of-{corpus.slug}",
        tokenizer_id=tokenizer_id,
        context=CONTEXT,
        has_bos=True,
        is_packed=False,
        n_documents=len(corpus.documents),
        n_windows=len(corpus.windows),
        n_tokens=len(corpus.counted_ids),
        details={},
    )
    session.add(row)
    session.flush()
    corpus.id = row.id
    partitions.create(session.connection(), partitions.CORPUS_TABLES, row.id)
    session.add_all(
        Document(corpus_id=row.id, index=i, name=f"<b>{corpus.slug}</b>/{i}.py", n_chars=len(text))
        for i, text in enumerate(corpus.documents)
    )
    session.add_all(
        TokenWindow(
            corpus_id=row.id,
            index=i,
            document_index=window.document,
            char_start=window.char_start,
            token_ids=np.array(window.token_ids, dtype="<u4").tobytes(),
            starts=np.array(window.starts, dtype="<u4").tobytes(),
            text=window.text.encode(),
            uncounted=[0],
            is_duplicate=window.is_duplicate,
        )
        for i, window in enumerate(corpus.windows)
    )


def _store_model(
    session: Session,
    seeded: Seeded,
    rng: np.random.Generator,
    slug: str,
    tokenizer_id: int,
    over: list[str],
) -> None:
    model = LanguageModel(
        slug=slug,
        name=f"local/{slug}",
        revision=None,
        weights_hash=f"weights-of-{slug}",
        tokenizer_id=tokenizer_id,
        architecture="GPT2LMHeadModel",
        n_layers=2,
        d_model=8,
        d_mlp=12,
        d_vocab=len(seeded.tokenizer.texts),
        n_ctx=64,
        n_params=12345,
        details={"activation": "gelu", "logit_lens": "through the final norm's weight"},
    )
    session.add(model)
    session.flush()
    rows = [_store_source(session, seeded, rng, model, name) for name in seeded.sources[slug]]
    for name in over:
        scan = _scan(session, model, seeded.corpora[name])
        for source in rows:
            values = _activations(rng, source, seeded.corpora[name], seeded.tokenizer)
            seeded.activations[slug, source.slug, name] = values
            _store_results(session, scan, source, seeded.corpora[name], values, rng)


def _store_source(
    session: Session, seeded: Seeded, rng: np.random.Generator, model: LanguageModel, slug: str
) -> Source:
    layer = int(slug[-1])
    is_sae = slug.startswith("sae")
    hook_point = f"blocks.{layer}.hook_resid_post" if is_sae else f"blocks.{layer}.mlp.hook_post"
    source = Source(
        language_model_id=model.id,
        slug=slug,
        kind="sae_latent" if is_sae else "neuron",
        hook_point=hook_point,
        hook_point_out=hook_point if is_sae else f"blocks.{layer}.hook_mlp_out",
        layer=layer,
        n_units=20 if is_sae else 12,
        weights_hash=f"weights-of-{slug}",
        details={"architecture": "standard"} if is_sae else {},
    )
    session.add(source)
    session.flush()
    for index in range(source.n_units):
        order = rng.permutation(len(seeded.tokenizer.texts))
        values = np.sort(rng.normal(size=len(order)))[::-1].astype(np.float32)
        session.add(
            Unit(
                source_id=source.id,
                index=index,
                promoted_ids=order[:10].tolist(),
                promoted_values=values[:10].tolist(),
                suppressed_ids=order[::-1][:10].tolist(),
                suppressed_values=values[::-1][:10].tolist(),
            )
        )
    return source


def _scan(session: Session, model: LanguageModel, corpus: TinyCorpus) -> Scan:
    scan = Scan(
        language_model_id=model.id,
        corpus_id=corpus.id,
        status="complete",
        settings_hash="settings",
        settings={"top_k": N_TOP, "seed": 0},
        n_tokens_done=len(corpus.counted_ids),
        software_version="0.1.0",
        finished_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    session.add(scan)
    session.flush()
    partitions.create(session.connection(), partitions.SCAN_TABLES, scan.id)
    return scan


def _activations(
    rng: np.random.Generator, source: Source, corpus: TinyCorpus, tokenizer: TinyTokenizer
) -> np.ndarray:
    ids = corpus.counted_ids
    values = rng.normal(-0.5, 1, size=(len(ids), source.n_units)).astype(np.float32)
    if source.kind == "sae_latent":
        values = np.maximum(values - 1, 0)
    else:
        values = np.where(values < 0, values * np.float32(0.1), values)
    emoji = [tokenizer.ids[bytes([byte])] for byte in "🙂".encode()]
    values[:, DEAD] = 0 if source.kind == "sae_latent" else -np.abs(values[:, DEAD]) - 0.01
    values[:, ALWAYS] = np.abs(values[:, ALWAYS]) + 0.5
    values[:, ON_EMOJI] = np.where(np.isin(ids, emoji), 3 + np.abs(values[:, ON_EMOJI]), 0)
    values[:, ON_SCRIPT] = np.where(ids == tokenizer.ids[SCRIPT.encode()], 7.25, 0)
    return values


def _store_results(
    session: Session,
    scan: Scan,
    source: Source,
    corpus: TinyCorpus,
    values: np.ndarray,
    rng: np.random.Generator,
) -> None:
    densities = (values > 0).mean(0)
    bins = np.floor((np.log10(densities[densities > 0]) + 8) * 4).astype(int)
    session.add(
        ScanSource(
            scan_id=scan.id,
            source_id=source.id,
            corpus_id=corpus.id,
            is_current=True,
            n_alive=int((densities > 0).sum()),
            n_atlas_positions=len(values),
            density_histogram=np.bincount(np.minimum(bins, 31), minlength=32).tolist(),
        )
    )
    for index in range(source.n_units):
        key = {"scan_id": scan.id, "source_id": source.id, "index": index}
        edges = _edges(values[:, index])
        session.add(UnitStats(**key, **_figures(values[:, index], edges, corpus.counted_ids)))
        if index not in (DEAD, WITHOUT_EXAMPLES):
            for kind in ("top", "bottom", "interval", "random"):
                packed = _examples(kind, corpus, values[:, index], edges, rng)
                if packed is not None:
                    session.add(Examples(**key, kind=kind, **packed))


def _edges(values: np.ndarray) -> np.ndarray:
    """Bands: all positions <= 0, then the positive ones cut at quantiles."""
    positive = values[values > 0]
    cuts = np.quantile(positive, [0, 0.5, 0.95, 1]) if len(positive) else np.empty(0)
    low = [values.min()] if (values <= 0).any() else []
    if not len(cuts):
        low = [values.min(), values.max()]
    return np.unique(np.concatenate([low, cuts]).astype(np.float32))


def _bands(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))


def _figures(values: np.ndarray, edges: np.ndarray, ids: np.ndarray) -> dict[str, Any]:
    exact = values.astype(np.float64)
    edges = edges if len(edges) > 1 else np.array([edges[0], edges[0]])
    bands = _bands(values, edges)
    n_bands = len(edges) - 1
    nonzero = values[values != 0]
    bins = np.unique(np.concatenate([np.linspace(values.min(), values.max(), 9), [0]]))
    bins = bins if len(bins) > 1 else np.array([0.0, 1.0])
    positive = np.maximum(exact, 0)
    sums = np.bincount(ids, weights=positive)
    best = [i for i in np.argsort(-sums, kind="stable")[:10].tolist() if sums[i] > 0]
    std = exact.std()
    return {
        "n_tokens": len(values),
        "n_active": int((values > 0).sum()),
        "density": float((values > 0).mean()),
        "max": float(values.max()),
        "min": float(values.min()),
        "mean": float(exact.mean()),
        "std": float(std),
        "skewness": float(((exact - exact.mean()) ** 3).mean() / std**3) if std else None,
        "kurtosis": float(((exact - exact.mean()) ** 4).mean() / std**4 - 3) if std else None,
        "n_zero": int((values == 0).sum()),
        "histogram_edges": bins.tolist(),
        "histogram_counts": np.histogram(nonzero, bins)[0].tolist(),
        "interval_edges": edges.tolist(),
        "interval_counts": np.bincount(bands, minlength=n_bands).tolist(),
        "interval_mass": np.bincount(bands, np.abs(exact), minlength=n_bands).tolist(),
        "token_ids": best,
        "token_sums": sums[best].tolist(),
        "token_n_active": [int(((ids == i) & (values > 0)).sum()) for i in best],
        "token_n": [int((ids == i).sum()) for i in best],
        "atlas_sum": float(positive.sum()),
    }


def _examples(
    kind: str, corpus: TinyCorpus, values: np.ndarray, edges: np.ndarray, rng: np.random.Generator
) -> dict[str, Any] | None:
    bounds = np.cumsum([0, *(len(window.token_ids) - 1 for window in corpus.windows)])
    runs = [values[low:high] for low, high in pairwise(bounds)]
    known = [i for i, window in enumerate(corpus.windows) if not window.is_duplicate]
    if kind == "top":
        known = [i for i in known if runs[i].max() > 0]
        chosen = sorted((-runs[i].max(), i, int(runs[i].argmax())) for i in known)[:N_TOP]
    elif kind == "bottom":
        known = [i for i in known if runs[i].min() < 0]
        chosen = sorted((runs[i].min(), i, int(runs[i].argmin())) for i in known)[:N_TOP]
    else:
        drawn = rng.choice(known, size=min(N_RANDOM, len(known)), replace=False).tolist()
        chosen = [(0.0, i, int(runs[i].argmax())) for i in drawn]
        chosen.sort(key=lambda each: -runs[each[1]][each[2]])
    if not chosen:
        return None
    windows = [i for _, i, _ in chosen]
    at = [pos for _, _, pos in chosen]
    exact = [float(runs[i][pos]) for i, pos in zip(windows, at, strict=True)]
    is_sampled = kind in ("interval", "random")
    return {
        "windows": windows,
        "positions": [pos + 1 for pos in at],  # behind the BOS
        "values": exact,
        "max_positions": [int(runs[i].argmax()) + 1 for i in windows],
        "lows": [float(runs[i].min()) for i in windows],
        "highs": [float(runs[i].max()) for i in windows],
        "intervals": _bands(np.array(exact, dtype=np.float32), edges).tolist()
        if is_sampled
        else [],
        "levels": zlib.compress(b"".join(_levels(runs[i]) for i in windows)),
    }


def _levels(run: np.ndarray) -> bytes:
    scale = codec.Scale(float(run.min()), float(run.max()))
    return bytes([scale.zero]) + codec.encode(run, scale).tobytes()
