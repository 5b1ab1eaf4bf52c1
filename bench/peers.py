"""The peers' workload, the whole job: from stored tokens to rows in PostgreSQL.

A model of the demo's shape with random weights, an SAE of 4,096 latents after layer 2 whose latents
are active at 1% of positions, 262,144 tokens in windows of 128: made from a seed. The job is what
`unitscope index` does once the corpus is stored: plan, scan, atlas, histograms, intervals, logit
lens, directions, everything written. Neighbours are computed when asked and take milliseconds, so
those of a hundred latents are asked for and added. The measure is the model's own full forward,
logits and all, over the same windows, before and after the job, in the better of two arrangements.

`python -m bench.peers`
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from sqlalchemy import Engine, select

from app import db, embedded
from app.config import get_settings
from app.models import Scan
from workers.index import IndexRequest, run_index
from workers.progress import Silent
from workers.sources.language_models import LoadedModel, load_model
from workers.sources.quiet import quiet
from workers.sources.replicas import replicate

DEMO_MODEL = Path(__file__).parent.parent / "demo" / "model"
N_TOKENS, CONTEXT, N_LATENTS = 262_144, 128, 4096
READ_AT = "blocks.2.hook_resid_post"
SHARE_ACTIVE = 0.01
BATCH = 8
N_NEIGHBOURS = 100
Forward = Callable[[LoadedModel, torch.Tensor], None]


@dataclass(frozen=True)
class Figures:
    """Seconds of the full forward, to the SAE and its encoder, and of the job; and its parts."""

    forward: float
    floor: float
    job: float
    neighbours: float

    @property
    def ratio(self) -> float:
        """The job ÷ the full forward."""
        return (self.job + self.neighbours) / self.forward


def make_model(folder: Path, seed: int = 0) -> Path:
    """The demo's shape and tokenizer, with weights drawn at random."""
    with quiet():
        from transformers import AutoConfig, AutoModelForCausalLM

        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(DEMO_MODEL))
    directory = folder / "random"
    with quiet():
        model.save_pretrained(directory)
    for path in DEMO_MODEL.glob("tokenizer*"):
        shutil.copy(path, directory)
    return directory


def make_sae(folder: Path, model: LoadedModel, seed: int = 0) -> Path:
    """A ReLU SAE whose biases let each latent be active at 1% of random tokens."""
    with quiet():
        from sae_lens import StandardSAE, StandardSAEConfig
        from sae_lens.saes.sae import SAEMetadata

        config = StandardSAEConfig(d_in=model.d_model, d_sae=N_LATENTS)
        config.metadata = SAEMetadata(model_name="random", hook_name=READ_AT)
        sae = StandardSAE(config)
    torch.manual_seed(seed)
    tokens = torch.randint(model.d_vocab, (64, CONTEXT))
    x = model.run_to(tokens, None, [READ_AT])[READ_AT]
    with torch.no_grad():
        sae.W_enc.copy_(torch.randn_like(sae.W_enc) / model.d_model**0.5)
        sae.W_dec.copy_(sae.W_enc.T)
        sae.b_enc.zero_()
        before = x.flatten(0, 1) @ sae.W_enc
        sae.b_enc.copy_(-before.quantile(1 - SHARE_ACTIVE, dim=0))
    with quiet():
        sae.save_model(folder / "latents")
    return folder / "latents"


def measure(n_tokens: int = N_TOKENS) -> Figures:
    """Runs the job on an embedded database of its own."""
    with tempfile.TemporaryDirectory(prefix="unitscope-peers-") as name:
        folder = Path(name)
        os.environ["UNITSCOPE_DATA_DIR"] = str(folder / "data")
        get_settings.cache_clear()
        engine = db.make_engine(
            embedded.start(folder / "data").replace("postgresql:", "postgresql+psycopg:", 1)
        )
        try:
            db.upgrade(engine)
            return _measure(engine, folder, n_tokens)
        finally:
            engine.dispose()
            embedded.stop(folder / "data")


def _measure(engine: Engine, folder: Path, n_tokens: int) -> Figures:
    directory = make_model(folder)
    model = load_model(str(directory))
    sae = make_sae(folder, model)
    common = {"model": str(directory), "corpus": "stdlib", "neurons": "none", "saes": [str(sae)]}
    # The corpus is there before the job begins, and compiled code is warm, as it is for peers.
    run_index(IndexRequest(**common, tokens=n_tokens, seed=1, atlas_tokens=1024), engine, Silent())
    before = full_forward(model, n_tokens)
    run_index(IndexRequest(**common, tokens=n_tokens), engine, Silent())
    after = full_forward(model, n_tokens)
    with db.session(engine) as session:
        scan = session.scalars(select(Scan).order_by(Scan.id.desc())).first()
        assert scan is not None and scan.finished_at is not None
        job = (scan.finished_at - scan.created_at).total_seconds()
    return Figures(
        forward=statistics.mean((before[0], after[0])),
        floor=statistics.mean((before[1], after[1])),
        job=job,
        neighbours=_ask_neighbours(engine),
    )


def full_forward(model: LoadedModel, n_tokens: int) -> tuple[float, float]:
    """Seconds of the forward with logits, and to the SAE with its encoder's product."""
    windows = torch.randint(model.d_vocab, (n_tokens // CONTEXT, CONTEXT)).split(BATCH)  # type: ignore[no-untyped-call]
    W_enc = torch.randn(model.d_model, N_LATENTS) / 16

    def full(replica: LoadedModel, tokens: torch.Tensor) -> None:
        replica.hf_model(tokens, use_cache=False)

    def encoded(replica: LoadedModel, tokens: torch.Tensor) -> None:
        replica.run_to(tokens, None, [READ_AT])[READ_AT] @ W_enc

    return _fastest(model, windows, full), _fastest(model, windows, encoded)


def _fastest(model: LoadedModel, windows: Sequence[torch.Tensor], do: Forward) -> float:
    """Seconds of all windows: all threads in one batch, or a batch a thread."""
    n_threads = torch.get_num_threads()
    replicas = [model, *(replicate(model) for _ in range(n_threads - 1))]

    def run(first: int, step: int) -> None:
        with torch.no_grad():
            for tokens in windows[first::step]:
                do(replicas[first], tokens)

    began = time.perf_counter()
    run(0, 1)
    alone = time.perf_counter() - began
    with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        began = time.perf_counter()
        list(pool.map(run, range(n_threads), [n_threads] * n_threads))
        by_batch = time.perf_counter() - began
    torch.set_num_threads(n_threads)  # else threads to come would be told 1
    return min(alone, by_batch)


def _ask_neighbours(engine: Engine) -> float:
    from app.units.similar import similar_units

    began = time.perf_counter()
    for unit in range(N_NEIGHBOURS):
        with db.session(engine) as session:
            similar_units(session, "random", "latents", unit, by="activation")
    return time.perf_counter() - began


def table(n_tokens: int = N_TOKENS) -> list[str]:
    """Markdown, a line a figure."""
    found = measure(n_tokens)
    return [
        "| the peers' workload | |",
        "|---|---|",
        f"| full forward | {found.forward:.2f} s |",
        f"| forward to the SAE, with the encoder's product | {found.floor:.2f} s |",
        f"| the whole job | {found.job:.2f} s |",
        f"| neighbours of {N_NEIGHBOURS} latents | {found.neighbours:.2f} s |",
        f"| job ÷ full forward | {found.job / found.forward:.2f} |",
        f"| job and those neighbours ÷ full forward | {found.ratio:.2f} |",
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=N_TOKENS)
    print(*table(parser.parse_args().tokens), sep="\n")


if __name__ == "__main__":
    main()
