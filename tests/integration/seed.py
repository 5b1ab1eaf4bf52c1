"""A small database with everything in it, built without any model: for pages and REST.

Two models share a tokenizer; `tiny-a` has two layers' neurons and an SAE's latents over two
corpora, `tiny-b` one layer's neurons over one. Texts are hostile: markup, NUL, an emoji and accents
cut into byte tokens, right-to-left text, invisible and bidirectional controls. Activations are
random but for a few units, and every figure stored is computed from them by plain NumPy, so that
tests can hold what is shown against `Seeded.activations`.

The windows of `tiny-b` are sampled, every other one; the atlas of `tiny-a` is all of a corpus.

Units of every source: 3 is dead (never above zero, and for latents exactly zero), 4 has no
examples though it is alive, 5 fires only on the emoji, 1 on every position, 0 only on `</script>`.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app import partitions
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
from tests.integration.seed_atlas import store_atlas, store_directions
from tests.integration.seed_figures import N_RANDOM, N_TOP, edges_of, examples, figures

__all__ = ["N_RANDOM", "N_TOP"]

CONTEXT = 24
BOS, BOS_TEXT = 0, "<|endoftext|>"
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

    def is_in(self, windows: list[int]) -> np.ndarray:
        """For each counted position, whether its window is one of `windows`."""
        lengths = [len(window.token_ids) - 1 for window in self.windows]
        return np.isin(np.repeat(np.arange(len(lengths)), lengths), windows)


@dataclass
class Seeded:
    """What was stored: `activations[model, source, corpus]` is (counted positions, units).

    atlases     by (model, source, corpus): what the stored atlas says, (sampled positions, units)
    directions  by (model, source): float16 (units, d_model)
    """

    tokenizer: TinyTokenizer
    corpora: dict[str, TinyCorpus]
    activations: dict[tuple[str, str, str], np.ndarray]
    sources: dict[str, list[str]]
    atlases: dict[tuple[str, str, str], np.ndarray] = field(default_factory=dict)
    directions: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)


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
        corpus = seeded.corpora[name]
        sampled = list(range(0, len(corpus.windows), 2 if slug == "tiny-b" else 1))
        scan = _scan(session, model, corpus, sampled)
        for source in rows:
            values = _activations(rng, source, corpus, seeded.tokenizer)
            seeded.activations[slug, source.slug, name] = values
            is_sampled = corpus.is_in(sampled)
            atlas = store_atlas(session, scan, source, values[is_sampled])
            seeded.atlases[slug, source.slug, name] = atlas
            _store_results(session, scan, source, corpus, values, is_sampled, rng)
    for source in rows:
        vectors = store_directions(session, source, model.d_model, rng)
        seeded.directions[slug, source.slug] = vectors


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


def _scan(session: Session, model: LanguageModel, corpus: TinyCorpus, sampled: list[int]) -> Scan:
    scan = Scan(
        language_model_id=model.id,
        corpus_id=corpus.id,
        status="complete",
        settings_hash="settings",
        settings={"top_k": N_TOP, "seed": 0},
        n_tokens=len(corpus.counted_ids),
        n_tokens_done=len(corpus.counted_ids),
        atlas_windows=np.array(sampled, "<i4").tobytes(),
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
    is_sampled: np.ndarray,
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
            n_atlas_positions=int(is_sampled.sum()),
            density_histogram=np.bincount(np.minimum(bins, 31), minlength=32).tolist(),
        )
    )
    for index in range(source.n_units):
        key = {"scan_id": scan.id, "source_id": source.id, "index": index}
        x = values[:, index]
        session.add(UnitStats(**key, **figures(x, corpus.counted_ids, is_sampled)))
        if index not in (DEAD, WITHOUT_EXAMPLES):
            is_rare = source.kind == "sae_latent" and index in (ON_SCRIPT, ON_EMOJI)
            edges = edges_of(x[is_sampled])
            for kind in ("top", "bottom", "interval", "random", *(["active"] * is_rare)):
                packed = examples(kind, corpus.windows, x, edges, rng)
                if packed is not None:
                    session.add(Examples(**key, kind=kind, **packed))
