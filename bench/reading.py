"""Reading a large source: the time to answer for pages and REST, at a server's median.

Fills a database of its own with one source of `--units` units (statistics for all, examples of 128
tokens for the first 200) and asks for each address in turn, in process, compressed and tagged as a
browser gets it. Prints milliseconds: median and 95th percentile.
"""

import argparse
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine, text

from app import codec, db, embedded, partitions, urls
from app.main import create_app

N_WINDOWS, CONTEXT, VOCABULARY = 2000, 128, 4096
N_WITH_EXAMPLES = 200
KINDS = {"top": 20, "bottom": 20, "interval": 25, "random": 10}

FILL = """
INSERT INTO tokenizers (id, hash, n_tokens, bos_token_id) VALUES (1, 'tokenizer', :vocabulary, 0);
INSERT INTO tokens SELECT 1, i, ' word' || i, i = 0 FROM generate_series(0, :vocabulary - 1) i;
INSERT INTO corpora (id, slug, name, hash, tokenizer_id, context, has_bos, is_packed, n_documents,
    n_windows, n_tokens, details)
    VALUES (1, 'large', 'large', 'hash', 1, 128, true, false, 100, :windows, 5000000, '{}');
INSERT INTO documents SELECT 1, i, 'lib/module_' || i || '.py', 100000
    FROM generate_series(0, 99) i;
INSERT INTO language_models (id, slug, name, weights_hash, tokenizer_id, architecture, n_layers,
    d_model, d_vocab, n_params, details)
    VALUES (1, 'large', 'large', 'weights', 1, 'GPT2LMHeadModel', 4, 256, :vocabulary, 1, '{}');
INSERT INTO sources (id, language_model_id, slug, kind, hook_point, hook_point_out, layer, n_units,
    weights_hash, details) VALUES (1, 1, 'sae', 'sae_latent', 'blocks.2.hook_resid_post',
    'blocks.2.hook_resid_post', 2, :units, 'weights', '{}');
INSERT INTO scans (id, language_model_id, corpus_id, status, settings_hash, settings,
    n_tokens_done, software_version, finished_at)
    VALUES (1, 1, 1, 'complete', 'settings', '{}', 5000000, '0', now());
INSERT INTO scan_sources VALUES (1, 1, 1, true, :units * 9 / 10, 65536,
    (SELECT array_agg(:units / 32) FROM generate_series(1, 32)));
INSERT INTO units SELECT 1, i,
    (SELECT array_agg(((i * 7919::bigint + k * 104729) % :vocabulary)::int)
        FROM generate_series(1, 10) k),
    (SELECT array_agg(2.0 / k) FROM generate_series(1, 10) k),
    (SELECT array_agg(((i * 3571::bigint + k * 15485863) % :vocabulary)::int)
        FROM generate_series(1, 10) k),
    (SELECT array_agg(-2.0 / k) FROM generate_series(1, 10) k)
    FROM generate_series(0, :units - 1) i;
INSERT INTO unit_stats SELECT 1, 1, i, 5000000, 5000000 * d.d, d.d,
    CASE WHEN d.d > 0 THEN 1 + random() * 10 ELSE 0 END, 0, d.d * random(), d.d + random(),
    3, 9, 65000,
    (SELECT array_agg(k * 0.1) FROM generate_series(0, 40) k),
    (SELECT array_agg(1000 / k) FROM generate_series(1, 40) k),
    ARRAY[0, 0.1, 0.5, 1, 2, 4], ARRAY[60000, 3000, 1500, 800, 236],
    ARRAY[0, 300, 700, 900, 800],
    (SELECT array_agg((i * 31 + k * 7) % :vocabulary) FROM generate_series(1, 10) k),
    (SELECT array_agg(100.0 / k) FROM generate_series(1, 10) k),
    ARRAY[9, 8, 7, 6, 5, 4, 3, 2, 1, 1], ARRAY[90, 80, 70, 60, 50, 40, 30, 20, 10, 10], 500
    FROM generate_series(0, :units - 1) i,
    LATERAL (SELECT CASE WHEN i % 10 = 0 THEN 0 ELSE 10 ^ (-6 + 6 * random() * (i % 7) / 7) END d) d
"""


def fill(connection: Connection, n_units: int) -> None:
    """One model, one corpus, one source of `n_units` units, and examples of the first."""
    fill_source(connection, n_units)
    rng = np.random.default_rng(0)
    _fill_windows(connection, rng)
    _fill_examples(connection, rng, n_units)


def fill_source(connection: Connection, n_units: int) -> None:
    """One source of `n_units` units with their statistics, in an empty database."""
    partitions.create(connection, partitions.CORPUS_TABLES, 1)
    partitions.create(connection, partitions.SCAN_TABLES, 1)
    values = {"units": n_units, "vocabulary": VOCABULARY, "windows": N_WINDOWS}
    for statement in FILL.split(";\n"):
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(text(statement), used)


def _fill_windows(connection: Connection, rng: np.random.Generator) -> None:
    rows = []
    for index in range(N_WINDOWS):
        words = [f" word{i}" for i in rng.integers(1, VOCABULARY, CONTEXT - 1)]
        starts = np.cumsum([0, *map(len, words[:-1])])
        ids = [0, *(int(word[5:]) for word in words)]
        rows.append(
            {
                "index": index,
                "ids": np.array(ids, dtype="<u4").tobytes(),
                "starts": np.array([0, *starts], dtype="<u4").tobytes(),
                "text": "".join(words).encode(),
            }
        )
    insert = "INSERT INTO windows VALUES (1, :index, :index % 100, 0, :ids, :starts, :text, '{0}',"
    connection.execute(text(f"{insert} false)"), rows)


def _fill_examples(connection: Connection, rng: np.random.Generator, n_units: int) -> None:
    rows = []
    for index in range(min(N_WITH_EXAMPLES, n_units)):
        for kind, n in KINDS.items():
            values = np.maximum(rng.normal(-1, 1, size=(n, CONTEXT)), 0).astype(np.float32)
            values[:, 0] = 0
            highs = values.max(1)
            packed = [
                codec.encode(row, codec.Scale(0.0, float(high))).tobytes()
                for row, high in zip(values, highs, strict=True)
            ]
            rows.append(
                {
                    "index": index,
                    "kind": kind,
                    "windows": rng.choice(N_WINDOWS, n, replace=False).tolist(),
                    "at": values.argmax(1).tolist(),
                    "values": highs.tolist(),
                    "lows": [0.0] * n,
                    "intervals": [i % 5 for i in range(n)] if kind == "interval" else [],
                    "levels": zlib.compress(b"".join(packed)),
                }
            )
    insert = (
        "INSERT INTO examples VALUES (1, 1, :index, :kind, :windows, :at, :values, :at, :lows, "
        ":values, :intervals, :levels)"
    )
    connection.execute(text(insert), rows)


def measure(engine: Engine, n_rounds: int) -> None:
    """Prints the time of each address; another unit each round."""
    with TestClient(create_app(engine)) as client:
        for name, make in _addresses().items():
            took = []
            for i in range(n_rounds + 5):
                address = make(i % N_WITH_EXAMPLES)
                begin = time.perf_counter()
                response = client.get(address)
                took.append((time.perf_counter() - begin) * 1000)
                if response.status_code != 200:
                    raise RuntimeError(f"{address}: {response.status_code} {response.text[:300]}")
            took = sorted(took[5:])
            late = took[int(len(took) * 0.95)]
            size = len(response.content)
            print(f"{name:34} {statistics.median(took):7.1f} ms {late:7.1f} ms {size:9,} bytes")


def _addresses() -> dict[str, Callable[[int], str]]:
    """What is asked for, by name; each makes an address of a unit's index."""

    def units(**query: urls.QueryValue) -> Callable[[int], str]:
        return lambda _: urls.api_units("large", "sae", **query)

    return {
        "unit": lambda i: urls.api_unit("large", "sae", i),
        "unit, top examples": lambda i: urls.api_examples("large", "sae", i),
        "unit, interval examples": lambda i: urls.api_examples("large", "sae", i, kind="interval"),
        "unit, tokens": lambda i: urls.api_unit_tokens("large", "sae", i),
        "units by index": units(),
        "units by density": units(sort="density"),
        "units by max, alive, sparse": units(sort="max", alive=True, max_density=0.001),
        "units by std, 500": units(sort="std", limit=500),
        "units by mean, token": units(sort="mean", q="word17"),
        "search by token": lambda i: urls.api_search("large", token=f"word{i + 1}"),
        "search by promoted token": lambda i: urls.api_search("large", logit=f"word{i + 1}"),
        "windows, 50": lambda _: urls.api_windows("large"),
        "models": lambda _: urls.api_models(),
        "page: unit": lambda i: urls.unit("large", "sae", i),
        "page: source": lambda _: urls.source("large", "sae"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unitscope-bench-") as folder:
        address = embedded.start(Path(folder))
        engine = db.make_engine(address.replace("postgresql:", "postgresql+psycopg:", 1))
        try:
            db.upgrade(engine)
            with engine.begin() as connection:
                fill(connection, arguments.units)
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE"))
            measure(engine, arguments.rounds)
        finally:
            engine.dispose()
            embedded.stop(Path(folder))


if __name__ == "__main__":
    main()
