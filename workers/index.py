"""`unitscope index`: from a model and a text to units that pages can show.

Everything that can be wrong with what was asked is found before anything is written. Then: the
tokenizer and the corpus (each kept if it is there already), one scan of the sources that were not
scanned so before, and one transaction that stores the results and makes them current.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app import db
from app.config import get_settings
from app.errors import AppError, InvalidInput
from app.models import Corpus
from app.slugs import is_slug, slugify
from workers import ledger
from workers.atlas import AtlasBuilder
from workers.finish import finish_source
from workers.kernels.sampling import sample_windows
from workers.ledger import Reporter, ScanSettings
from workers.progress import Progress
from workers.scan import Scanner, open_scanner
from workers.sinks import models
from workers.sinks.copying import storing
from workers.sinks.corpora import StoredCorpus, store_corpus
from workers.sinks.scans import ScanWriter, SourceResult, make_current
from workers.sinks.tokenizers import store_tokenizer
from workers.sources.documents import read_documents
from workers.sources.language_models import LoadedModel, load_model
from workers.sources.stored_windows import WindowSizes, read_batches, read_sizes
from workers.sources.unit_sources import UnitSource, neuron_source, parse_layers, sae_source
from workers.sources.windows import MAX_CONTEXT, WindowSettings


class IndexRequest(BaseModel):
    """What `unitscope index` takes (INTERFACE: Commands)."""

    model_config = ConfigDict(extra="forbid")

    model: str
    corpus: str
    name: str | None = None
    corpus_name: str | None = None
    text_field: str = "text"
    neurons: str = "all"
    saes: list[str] = Field(default_factory=list)
    sae_names: list[str] = Field(default_factory=list)
    tokens: int | None = Field(None, ge=1)
    context: int = Field(128, ge=2, le=MAX_CONTEXT)
    bos: Literal["auto", "yes", "no"] = "auto"
    pack: bool = False
    top_k: int = Field(20, ge=1, le=200)
    atlas_tokens: int = Field(65536, ge=1)
    seed: int = Field(0, ge=0, lt=2**63)
    device: str = "auto"
    dtype: str = "auto"
    revision: str | None = None
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class IndexResult:
    """What there is now. `scan_id` is None where nothing was left to scan."""

    model_slug: str
    corpus_slug: str
    scan_id: int | None
    n_new_sources: int
    n_new_units: int


def run_index(request: IndexRequest, engine: Engine, progress: Progress) -> IndexResult:
    """Does what was asked, less what is done already; AppError for what a person can mend."""
    job = _Job.check(request, engine, progress)
    tokenizer_id, stored = job.store_corpus()
    with ledger.locked(engine, job.model, stored.corpus.id, progress):
        with db.session(engine) as session:
            row = models.store_model(session, job.model, tokenizer_id, request.name)
        if request.name not in (None, row.slug):
            progress.note(f"The model is stored already, as {row.slug!r}, which it keeps.")
        missing = job.find_missing(row.id, stored.corpus.id)
        if not missing:
            progress.note("Everything asked for was scanned before; nothing to do.")
            return IndexResult(row.slug, stored.corpus.slug, None, 0, 0)
        scan_id = job.scan(tokenizer_id, stored.corpus, missing)
    n_units = sum(source.n_units for source in missing)
    return IndexResult(row.slug, stored.corpus.slug, scan_id, len(missing), n_units)


@dataclass(frozen=True, slots=True)
class _Job:
    """A request whose model and sources are loaded and fit."""

    request: IndexRequest
    engine: Engine
    progress: Progress
    model: LoadedModel
    sources: list[UnitSource]

    @classmethod
    def check(cls, request: IndexRequest, engine: Engine, progress: Progress) -> "_Job":
        """Loads what was named, and raises for all that does not fit; writes nothing."""
        _check_counts(request)
        model = load_model(
            request.model,
            revision=request.revision,
            device=request.device,
            dtype=request.dtype,
            trust_remote_code=request.trust_remote_code,
        )
        _check_context(request, model)
        model.has_bos(request.bos)
        sources = _load_sources(request, model)
        with db.session(engine) as session:
            found = models.find_model(session, model)
            if found is None:
                models.choose_slug(session, model, request.name)
            else:
                models.check_sources(session, found.id, sources)
        return cls(request, engine, progress, model, sources)

    @property
    def settings(self) -> ScanSettings:
        """What shapes the scan's results."""
        request = self.request
        dtype = str(self.model.details["dtype"])
        return ScanSettings(request.top_k, request.atlas_tokens, request.seed, dtype)

    def store_corpus(self) -> tuple[int, StoredCorpus]:
        """The tokenizer's id and the corpus."""
        request = self.request
        with storing("the tokenizer"), db.session(self.engine) as session:
            tokenizer_id = store_tokenizer(session, self.model)
        self.progress.start(f"Reading {request.corpus}", request.tokens, "tokens")
        told = 0

        def report(n_tokens: int) -> None:
            nonlocal told
            self.progress.advance(n_tokens - told)
            told = n_tokens

        stored = store_corpus(
            self.engine,
            spec=request.corpus,
            slug=request.corpus_name,
            read=lambda: read_documents(request.corpus, request.text_field),
            model=self.model,
            tokenizer_id=tokenizer_id,
            settings=WindowSettings(
                context=request.context,
                has_bos=self.model.has_bos(request.bos),
                is_packed=request.pack,
                n_tokens=request.tokens,
            ),
            report=report,
        )
        self.progress.finish()
        for note in stored.notes:
            self.progress.note(note)
        return tokenizer_id, stored

    def find_missing(self, model_id: int, corpus_id: int) -> list[UnitSource]:
        """Sources without results by these settings; results that are there become current."""
        with db.session(self.engine) as session:
            ledger.forget_interrupted(session, model_id, corpus_id)
            models.check_sources(session, model_id, self.sources)
            done = ledger.find_complete(session, model_id, corpus_id, self.settings)
            for source in self.sources:
                source_id, scan_id, is_current = done.get(source.slug, (0, 0, True))
                if not is_current:
                    make_current(session, corpus_id, [source_id], scan_id)
        return [source for source in self.sources if source.slug not in done]

    def scan(self, tokenizer_id: int, corpus: Corpus, sources: list[UnitSource]) -> int:
        """Scans and stores `sources`; the id of the scan. A failure leaves nothing to be seen.

        A model without results goes with the last scan that fails: it is made here if it is gone.
        """
        details = {"sources": ledger.slugs(sources), "device": str(self.model.device)}
        with db.session(self.engine) as session:
            row = models.store_model(session, self.model, tokenizer_id, self.request.name)
            model_id = row.id
            scan_id = ledger.begin(session, model_id, corpus.id, self.settings, details)
        try:
            self._scan(scan_id, model_id, corpus, sources)
        except BaseException as error:
            message = error.message if isinstance(error, AppError) else ledger.INTERRUPTED
            if isinstance(error, Exception) and not isinstance(error, AppError):
                message = f"{type(error).__name__}: {error}"
            with suppress(SQLAlchemyError):  # the database may be what failed
                ledger.fail(self.engine, scan_id, message)
            raise
        return scan_id

    def _scan(self, scan_id: int, model_id: int, corpus: Corpus, sources: list[UnitSource]) -> None:
        request = self.request
        sizes = read_sizes(self.engine, corpus.id)
        sampled = sample_windows(sizes.n_counted, request.atlas_tokens, request.seed)
        atlas = AtlasBuilder(request.seed, sampled)
        n_units = sum(source.n_units for source in sources)
        with (
            open_scanner(
                self.model,
                sources,
                top_k=request.top_k,
                context=int(sizes.lengths.max()),
                scratch=get_settings().data_dir / "scratch",
            ) as scanner,
            scanner.collecting(atlas),
        ):
            self.progress.start(f"Scanning {n_units:,} units", corpus.n_tokens, "tokens")
            reporter = Reporter(self.engine, scan_id, self.progress)
            scanner.run(read_batches(self.engine, corpus.id, scanner.batch_tokens), reporter)
            self.progress.finish()
            assert reporter.n_done == corpus.n_tokens, "the windows and the corpus's count disagree"
            self.progress.start(f"Storing {n_units:,} units", n_units, "units")
            with storing("the scan"):
                self._store(scanner, sizes, scan_id, model_id, corpus)
            self.progress.finish()

    def _store(
        self, scanner: Scanner, sizes: WindowSizes, scan_id: int, model_id: int, corpus: Corpus
    ) -> None:
        """Everything in one transaction, which also completes the scan."""
        assert scanner.atlas is not None
        layout = scanner.atlas.layout()
        results = []
        with db.session(self.engine) as session:
            writer = ScanWriter(session, scan_id)
            writer.prepare()
            for part in scanner.sources:
                source_id = models.store_source(session, model_id, self.model, part.source)
                result = SourceResult(source_id, part.moments, layout.n_positions)
                blocks = finish_source(
                    part, layout, sizes.lengths, scanner.threads, scanner.n_threads
                )
                for block in blocks:
                    writer.write(result, [block])
                    self.progress.advance(len(block))
                results.append(result)
            writer.complete(corpus.id, results, corpus.n_tokens)


def _check_counts(request: IndexRequest) -> None:
    if len(request.sae_names) > len(request.saes):
        raise InvalidInput(
            f"{len(request.sae_names)} --sae-name for {len(request.saes)} --sae: each name goes "
            "with the SAE in the same place."
        )
    if request.corpus_name is not None and not is_slug(request.corpus_name):
        near = slugify(request.corpus_name, fallback="my-texts")
        raise InvalidInput(
            f"--corpus-name {request.corpus_name!r} cannot be part of an address: wanted small "
            f"letters, digits, dots, dashes and underscores, for example {near!r}."
        )
    if request.neurons == "none" and not request.saes:
        raise InvalidInput("--neurons none and no --sae: there is nothing to scan. Name an SAE.")


def _check_context(request: IndexRequest, model: LoadedModel) -> None:
    if model.n_ctx is not None and request.context > model.n_ctx:
        raise InvalidInput(
            f"--context {request.context}: {model.name} reads at most {model.n_ctx} tokens at "
            f"once. Pass --context {model.n_ctx} or less."
        )


def _load_sources(request: IndexRequest, model: LoadedModel) -> list[UnitSource]:
    names: list[str | None] = [*request.sae_names]
    names += [None] * (len(request.saes) - len(names))
    sources: list[UnitSource] = [
        neuron_source(model, layer) for layer in parse_layers(request.neurons, model.n_layers)
    ]
    for spec, name in zip(request.saes, names, strict=True):
        sources.append(sae_source(spec, model, name))
        taken = ledger.slugs(sources[:-1])
        if sources[-1].slug in taken:
            raise InvalidInput(
                f"Two sources would be called {sources[-1].slug!r}. Pass a --sae-name for each "
                "--sae, in the same order."
            )
    if not sources:
        raise InvalidInput(f"{model.name} has no layers, so no neurons to scan. Name an SAE.")
    return sources
