"""`unitscope index`: from a model and a text to units that pages can show.

Everything that can be wrong with what was asked is found before anything is written. Then: the
tokenizer and the corpus (each kept if it is there already), and one scan of the sources that were
not scanned so before, which goes to the workers in shards (workers.jobs). With `wait`, one worker
is this process, and other workers that are there help.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app import db
from app.errors import InvalidInput
from app.models import Corpus, Scan
from app.slugs import is_slug, slugify
from app.tasks import scan_queue
from workers.jobs import ledger, queue
from workers.jobs.follow import follow
from workers.jobs.loading import Loaded
from workers.jobs.options import WorkerOptions
from workers.jobs.plan import LEAST_SHARD_TOKENS
from workers.jobs.settings import PlannedSource, ScanRequest, ScanSettings
from workers.jobs.worker import ShardWorker
from workers.memory import n_cores
from workers.memory_plan import plan_memory
from workers.progress import Progress
from workers.sinks import models
from workers.sinks.copying import storing
from workers.sinks.corpora import StoredCorpus, store_corpus
from workers.sinks.scans import make_current
from workers.sinks.tokenizers import store_tokenizer
from workers.sources.controls import Control
from workers.sources.documents import read_documents
from workers.sources.language_models import LoadedModel, load_model
from workers.sources.stored_windows import read_sizes
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
    control: Control | None = None
    wait: bool = True
    priority: int = Field(0, ge=-100, le=100)
    threads: int | None = Field(None, ge=1)
    shard_tokens: int = Field(LEAST_SHARD_TOKENS, ge=1)


@dataclass(frozen=True, slots=True)
class IndexResult:
    """What there is now. `scan_ids` is empty where nothing was left to scan."""

    model_slug: str
    corpus_slug: str
    scan_ids: list[int]
    is_complete: bool


def run_index(
    request: IndexRequest,
    engine: Engine,
    progress: Progress,
    after_scan: Callable[[int], None] | None = None,
) -> IndexResult:
    """Does what was asked, less what is done already; AppError for what a person can mend.

    `after_scan`: as workers.jobs.worker.ShardWorker has it.
    """
    job = _Job.check(request, engine, progress)
    tokenizer_id, stored = job.store_corpus()
    model_slug, scan_ids = job.plan(tokenizer_id, stored.corpus)
    job.tell_of_control(stored.corpus)
    if not scan_ids:
        progress.note("Everything asked for was scanned before; nothing to do.")
    elif request.wait:
        job.wait(scan_ids, after_scan)
    else:
        progress.note(_enqueued(scan_ids))
    is_complete = request.wait or not scan_ids
    return IndexResult(model_slug, stored.corpus.slug, scan_ids, is_complete)


def _named(scan_ids: list[int]) -> str:
    return " and ".join(f"job {scan_id}" for scan_id in scan_ids)


def _stopping(scan_ids: list[int]) -> str:
    return (
        f"Stopping. What was scanned is stored with {_named(scan_ids)}: run the same command "
        "again, or `unitscope worker`, and it goes on from there; "
        f"`unitscope jobs cancel {scan_ids[-1]}` drops it."
    )


def _enqueued(scan_ids: list[int]) -> str:
    return (
        f"Enqueued as {_named(scan_ids)}. Workers carry it out: start as many as you like with "
        f"`unitscope worker`. Progress: /jobs/{scan_ids[-1]} on the site, or `unitscope jobs`."
    )


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
            control=request.control,
        )
        _check_context(request, model)
        model.has_bos(request.bos)
        sources = _load_sources(request, model)
        if request.wait:
            given = {"top_k": request.top_k, "context": request.context}
            n_threads = min(request.threads or 1, n_cores())
            plan_memory(model, sources, **given, n_threads=n_threads)
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

    def plan(self, tokenizer_id: int, corpus: Corpus) -> tuple[str, list[int]]:
        """The model's slug, and the scans that together give what is missing, all enqueued.

        Sources that were scanned so before become current again. What an unfinished scan by the
        same settings covers is left to it; a new one takes the rest.
        """
        sizes = read_sizes(self.engine, corpus.id)
        with storing("the scan's plan"), db.session(self.engine) as session:
            ledger.lock_pair(session, self.model.weights_hash, self.model.tokenizer_hash, corpus.id)
            row = models.store_model(session, self.model, tokenizer_id, self.request.name)
            if self.request.name not in (None, row.slug):
                self.progress.note(f"The model is stored already, as {row.slug!r}, which it keeps.")
            # In this order: what is completed meanwhile is in neither, or in both.
            unfinished = ledger.find_unfinished(session, row.id, corpus.id, self.settings)
            missing = self._find_missing(session, row.id, corpus.id)
            scans = self._take_up(session, unfinished, missing)
            if missing:
                request = self._request(session, row.id, missing)
                scans.append(
                    ledger.begin(
                        session,
                        row.id,
                        corpus,
                        self.settings,
                        request,
                        sizes,
                        priority=self.request.priority,
                        least_shard_tokens=self.request.shard_tokens,
                    )
                )
        return row.slug, [scan.id for scan in scans]

    def tell_of_control(self, corpus: Corpus) -> None:
        """Says so where a control stands alone: it is set beside the model over the same corpus."""
        control_of = self.model.details.get("control_of")
        if control_of is None:
            return
        with db.session(self.engine) as session:
            real = models.over(session, str(control_of), corpus.id)
        if real is None:
            self.progress.note(
                f"The model that this is a control of was not scanned over {corpus.slug!r}, so "
                "nothing is there to set beside it: run the same command without --control as "
                "well. A corpus is other windows by --tokens, --context, --bos and --pack too."
            )

    def _find_missing(self, session: Session, model_id: int, corpus_id: int) -> list[UnitSource]:
        models.check_sources(session, model_id, self.sources)
        done = ledger.find_complete(session, model_id, corpus_id, self.settings)
        for source in self.sources:
            source_id, scan_id, is_current = done.get(source.slug, (0, 0, True))
            if not is_current:
                make_current(session, corpus_id, [source_id], scan_id)
        return [source for source in self.sources if source.slug not in done]

    def _take_up(
        self, session: Session, unfinished: list[Scan], missing: list[UnitSource]
    ) -> list[Scan]:
        """Unfinished scans of missing sources alone, enqueued; takes these out of `missing`."""
        taken = []
        for scan in unfinished:
            slugs = {source["slug"] for source in scan.request["sources"]}
            if not slugs <= {source.slug for source in missing}:
                continue
            self.progress.note(
                f"Job {scan.id} was begun before; going on with it where it is."
                if scan.status == "failed" or not queue.is_under_way(session, scan.id)
                else f"Job {scan.id} is under way already; joining it."
            )
            ledger.take_up(session, scan)
            missing[:] = [source for source in missing if source.slug not in slugs]
            taken.append(scan)
        return taken

    def _request(self, session: Session, model_id: int, missing: list[UnitSource]) -> ScanRequest:
        request, model = self.request, self.model
        specs = {source.slug: _portable(spec) for source, spec in self._dictionaries()}
        names = ("slug", "kind", "layer", "n_units", "weights_hash")
        return ScanRequest(
            model=_portable(request.model),
            revision=model.revision or request.revision,
            needs_remote_code=request.trust_remote_code,
            weights_hash=model.weights_hash,
            tokenizer_hash=model.tokenizer_hash,
            context=request.context,
            control=request.control,
            sources=[
                PlannedSource(
                    id=models.store_source(session, model_id, source),
                    spec=specs.get(source.slug),
                    **{name: getattr(source, name) for name in names},
                )
                for source in missing
            ],
        )

    def _dictionaries(self) -> list[tuple[UnitSource, str]]:
        """Sources that are not neurons, which come first, with what named them."""
        n_neurons = len(self.sources) - len(self.request.saes)
        return list(zip(self.sources[n_neurons:], self.request.saes, strict=True))

    def wait(self, scan_ids: list[int], after_scan: Callable[[int], None] | None) -> None:
        """Carries scans out in this process, and whoever else works on them, until all are done."""
        request = self.request
        options = WorkerOptions(request.device, request.threads, request.trust_remote_code)
        queues = [scan_queue(each) for each in scan_ids]
        worker = ShardWorker(self.engine, options, queues, after_scan)
        with db.session(self.engine) as session:
            scans = [session.get_one(Scan, scan_id) for scan_id in scan_ids]
            requests = [ScanRequest.model_validate(scan.request) for scan in scans]
        worker.adopt(scan_ids[0], Loaded(self.model, self._only(requests[0])))
        thread = Thread(target=worker.run, name="worker")
        thread.start()
        try:
            for scan_id, asked in zip(scan_ids, requests, strict=True):
                n_units = sum(source.n_units for source in asked.sources)
                follow(self.engine, scan_id, n_units, self.progress, worker.check)
        except (KeyboardInterrupt, SystemExit):
            self.progress.note(_stopping(scan_ids))
            raise
        finally:
            worker.leave()
            thread.join()

    def _only(self, request: ScanRequest) -> list[UnitSource]:
        by_slug = {source.slug: source for source in self.sources}
        return [by_slug[planned.slug] for planned in request.sources]


def _portable(spec: str) -> str:
    """A directory by its whole path, since workers run elsewhere; other names as they are."""
    path = Path(spec).expanduser()
    return str(path.resolve()) if path.exists() else spec


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
    if request.control is not None and request.saes:
        raise InvalidInput(
            f"--control {request.control} with --sae {request.saes[0]}: a dictionary reads what "
            "the trained model writes, and the control writes something else. Index the control's "
            "neurons alone."
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
        taken = [source.slug for source in sources[:-1]]
        if sources[-1].slug in taken:
            raise InvalidInput(
                f"Two sources would be called {sources[-1].slug!r}. Pass a --sae-name for each "
                "--sae, in the same order."
            )
    if not sources:
        raise InvalidInput(f"{model.name} has no layers, so no neurons to scan. Name an SAE.")
    return sources
