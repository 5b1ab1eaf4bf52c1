"""Jobs and workers as pages, REST and the command show them."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

JobStatus = Literal["queued", "running", "complete", "failed", "cancelled"]


class JobSource(BaseModel):
    """A source of a job; `page` once its units can be read."""

    source: str
    n_units: int | None
    page: str | None


class JobShards(BaseModel):
    """The pieces that an unfinished job was cut into; a complete one has none left."""

    n: int
    n_done: int
    by_status: dict[str, int] = Field(description="How many are `waiting`, `running`, `done`.")


class JobWorker(BaseModel):
    """A worker that is alive."""

    name: str = Field(description="Host and process id.")
    device: str
    queues: list[str] | None = Field(
        None, description="The only ones that it serves, such as `scan-3` or `loss`; null: all."
    )
    job: int | None = Field(description="The job that it works on.")
    shard: int | None
    doing: str = Field(description="In words.")
    n_tokens_done: int = Field(description="Of its shard, beyond what the shard has stored.")
    tokens_per_second: float | None
    started_at: datetime
    seen_at: datetime

    def serves(self, queue: str) -> bool:
        """Whether it takes what is in the queue."""
        return self.queues is None or queue in self.queues


class JobLinks(BaseModel):
    """Addresses; the model's once it has a page."""

    job: str
    page: str
    model: str | None
    corpus: str


class JobDetail(BaseModel):
    """One pass of a model over a corpus, for a set of sources."""

    id: int
    status: JobStatus
    priority: int = Field(description="Jobs of higher priority come first.")
    model: str
    corpus: str
    sources: list[JobSource]
    n_tokens: int = Field(description="To scan; 0 while that is not known.")
    n_tokens_done: int = Field(description="Stored, and in the workers' hands.")
    share_done: float | None = Field(description="Of the tokens; null while unknown.")
    tokens_per_second: float | None = Field(description="Of all its workers now.")
    seconds_left: float | None = Field(description="At this rate; null while unknown.")
    seconds_taken: float | None = Field(description="From its start to its end; null until then.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None
    shards: JobShards
    workers: list[JobWorker]
    settings: dict[str, Any]
    software_version: str
    links: JobLinks
