"""Jobs in every state, on the models and corpora of `seed`; with hostile texts in them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from app.models import Corpus, LanguageModel, Scan, Shard, Worker

HOSTILE = "</script><img src=x onerror=alert(1)> \x1b[31m{{ 7 * 7 }}\n\u202eflipped"
BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SHARD_TOKENS = 1000
SOURCES = [
    {"slug": "mlp-0", "n_units": 12, "kind": "neuron"},
    {"slug": "sae-1", "n_units": 20, "kind": "sae_latent"},
    {"slug": HOSTILE, "n_units": "many"},
    "not an object",
    {"n_units": 3},
]


def seed_jobs(engine: Engine) -> dict[str, int]:
    """Adds a job of each kind; their numbers by kind, oldest first."""
    with Session(engine) as session, session.begin():
        jobs = {
            "complete": add_job(
                session, "complete", n_tokens=5000, n_tokens_done=5000, **finished(192)
            ),
            "old": add_job(
                session,
                "complete",
                n_tokens_done=4000,
                request={},
                settings={"sources": ["mlp-0", "mlp-1"], "top_k": 8},
                created_at=BEGUN + timedelta(days=1),
                finished_at=BEGUN,
            ),
            "failed": add_job(
                session, "failed", n_shards=4, error=HOSTILE, started_at=BEGUN, n_tokens=2000
            ),
            "lost": add_job(session, "failed", error="The weights are not a model."),
            "cancelled": add_job(session, "cancelled", n_tokens=2000, **finished(30)),
            "queued": add_job(session, "queued", n_shards=5, n_tokens=3000),
            "running": add_job(session, "running", n_shards=10, n_tokens=8000, started_at=BEGUN),
            "merging": add_job(session, "running", n_shards=4, n_tokens=2000, started_at=BEGUN),
        }
        add_troubles(session, jobs)
    return jobs


def add_troubles(session: Session, jobs: dict[str, int]) -> None:
    """Progress, failures and workers of the jobs that `seed_jobs` adds."""
    for index in (0, 1):
        change_shard(session, jobs["running"], index, status="done")
    worker_id = add_worker(session, jobs["running"], 2, n_tokens_done=250, name=HOSTILE)
    change_shard(session, jobs["running"], 2, status="running", worker_id=worker_id)
    change_shard(session, jobs["running"], 4, error=HOSTILE, n_attempts=3)
    add_worker(session, jobs["running"], 3, tokens_per_second=float("nan"))
    add_worker(session, jobs["running"], 5, seconds_ago=3600, n_tokens_done=10**12)
    add_worker(session, jobs["running"], 5, seconds_ago=-86400, n_tokens_done=10**12)
    add_worker(session, None, None, tokens_per_second=None, doing="waiting", name="idle:1")
    for index in range(3):
        change_shard(session, jobs["merging"], index, status="done")
    add_worker(session, jobs["merging"], 3, tokens_per_second=None, doing="storing", name="host:2")
    change_shard(session, jobs["failed"], 0, status="done")
    change_shard(session, jobs["failed"], 2, error="Out of memory.", n_attempts=1)


def finished(seconds: float) -> dict[str, datetime]:
    return {"started_at": BEGUN, "finished_at": BEGUN + timedelta(seconds=seconds)}


def add_job(session: Session, status: str, *, n_shards: int = 0, **fields: Any) -> int:
    """A scan of tiny-a over code; its last shard is the finish, which has no tokens."""
    model = session.scalars(select(LanguageModel).where(LanguageModel.slug == "tiny-a")).one()
    corpus = session.scalars(select(Corpus).where(Corpus.slug == "code")).one()
    values: dict[str, Any] = {
        "settings_hash": "settings",
        "settings": {"top_k": 8, "seed": 0, "sources": ["mlp-0"]},
        "request": {"sources": SOURCES},
        "n_tokens_done": 0,
        "software_version": "0.1.0",
        "atlas_windows": b"\0\0\0\0",
    }
    scan = Scan(language_model_id=model.id, corpus_id=corpus.id, status=status, **values | fields)
    session.add(scan)
    session.flush()
    session.add_all(_shard(scan.id, index, n_shards) for index in range(n_shards))
    session.flush()
    return scan.id


def _shard(scan_id: int, index: int, n_shards: int) -> Shard:
    kind = {0: "atlas", 1: "units", n_shards - 1: "finish"}.get(index, "windows")
    return Shard(
        scan_id=scan_id,
        index=index,
        kind=kind,
        first_window=index * 100,
        last_window=index * 100 + 100,
        n_windows=100,
        n_tokens=0 if kind in ("units", "finish") else SHARD_TOKENS,
        n_windows_done=0,
        n_tokens_done=0,
        status="waiting",
        n_attempts=0,
    )


def change_shard(session: Session, job: int, index: int, **values: Any) -> None:
    """`status="done"` also says that all its tokens are."""
    shard = session.get_one(Shard, (job, index))
    if values.get("status") == "done":
        values = {"n_tokens_done": shard.n_tokens, **values}
    for name, value in values.items():
        setattr(shard, name, value)
    session.flush()


def add_worker(
    session: Session, job: int | None, shard: int | None, *, seconds_ago: float = 0, **values: Any
) -> UUID:
    """A worker that was seen so long ago, by the database's clock."""
    now: datetime = session.scalar(select(func.now()))
    worker = Worker(
        id=uuid4(),
        seen_at=now - timedelta(seconds=seconds_ago),
        scan_id=job,
        shard=shard,
        **{
            "name": "host:1234",
            "device": "cpu",
            "doing": "scanning",
            "n_tokens_done": 0,
            "tokens_per_second": 1234.5,
        }
        | values,
    )
    session.add(worker)
    session.flush()
    return worker.id
