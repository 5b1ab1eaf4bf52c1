"""What a worker was started with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker works.

    `n_threads`: None for as many as there are cores. `is_once`: ends when nothing is left to do.
    """

    device: str = "auto"
    n_threads: int | None = None
    trust_remote_code: bool = False
    is_once: bool = False
