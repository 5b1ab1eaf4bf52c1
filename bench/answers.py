"""From a question to its answer: rules over a million positions, and the demo's site over HTTP.

The million positions are the standard library's source in windows of 128; the atlas over them is
`bench.rule_search`'s of 100,000 latents. Evaluating a rule and ranking all units by it are timed
apart: together they are all but the reading of some fifty rows. The site is asked as a browser asks
it, with rules that it was not asked before.
"""

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np

from app.rule_search.ranking import Searched, search
from app.rules.atlas_text import AtlasText, WindowParts, build
from app.rules.evaluation import evaluate
from app.rules.text import parse
from app.rules.vocabulary import Vocabulary
from bench import rule_search
from bench.models import DEMO_MODEL
from bench.site import demo_site
from workers.sources.documents import read_documents
from workers.sources.model_files import find_model
from workers.sources.tokenizers import TextTokenizer, load_tokenizer
from workers.sources.windows import WindowSettings, cut_windows

SIZE = rule_search.SIZES["100k"]
N_ROUNDS = 5
RULES = (
    r"/\bdef\b/",
    r"/\b(19|20)\d\d\b/",
    r"/[A-Z]\w+Error\b/@last",
    '" self"',
    ':digit & previous("=")',
    "within(5, /\\bimport\\b/) & :word_start",
    'inside(quotes) & !:space & prefix("un")',
    "line(0, 2) & :upper",
    "inside(comment)",
)
UNITS = ("mlp-2/17", "res-2/1200", "transcoder-2/1970", "mlp-out-1/33", "mlp-0/900")


def table() -> Iterator[str]:
    """Markdown: rules over a million positions, then the demo's site."""
    yield from over_a_million()
    yield ""
    yield from over_http()


def over_a_million() -> Iterator[str]:
    """A line for each rule."""
    text = text_of(SIZE.n_positions)
    with tempfile.TemporaryDirectory() as folder:
        searched = [Searched(rule_search.make(Path(folder), SIZE))]
        search(searched, np.arange(10), text.documents)
        yield f"| over {text.n_positions:,} positions | holds at | evaluated | all units ranked |"
        yield "|---|---|---|---|"
        totals = []
        for line in RULES:
            took, ranked, matched = [], [], np.zeros(0, np.int64)
            for _ in range(N_ROUNDS):
                began = time.perf_counter()
                matched = evaluate(parse(line), text)
                took.append(time.perf_counter() - began)
                search(searched, matched, text.documents)
                ranked.append(time.perf_counter() - began - took[-1])
            shown = line.replace("|", r"\|")
            totals += [sum(pair) for pair in zip(took, ranked, strict=True)]
            yield f"| `{shown}` | {len(matched):,} | {_ms(took)} | {_ms(ranked)} |"
        yield f"| both together: median, worst | | {_ms(totals)} | {1e3 * max(totals):.0f} ms |"


def text_of(n_positions: int) -> AtlasText:
    """The first so many positions of the standard library's source."""
    tokenizer = load_tokenizer(
        find_model(str(DEMO_MODEL), None, trust_remote_code=False), trust_remote_code=False
    )
    settings = WindowSettings(128, has_bos=True, is_packed=False, n_tokens=n_positions)
    windows = cut_windows(read_documents("stdlib"), tokenizer, settings, tokenizer.bos_token_id)
    rows = (
        WindowParts(
            w.document_index, w.token_ids.tobytes(), w.starts.tobytes(), w.text, w.uncounted
        )
        for w in windows
    )
    return build(vocabulary_of(tokenizer), rows)


def vocabulary_of(tokenizer: TextTokenizer) -> Vocabulary:
    ids = range(tokenizer.n_tokens)
    is_special = np.array([tokenizer.is_special(i) for i in ids])
    return Vocabulary([tokenizer.token_text(i) for i in ids], is_special)


def over_http() -> Iterator[str]:
    """The demo's site: rules, evidence, and labels made anew."""
    with tempfile.TemporaryDirectory(prefix="unitscope-bench-") as folder:
        data_dir = Path(folder)
        with demo_site(data_dir) as (url, _, _), httpx.Client(base_url=url, timeout=60) as client:
            rules = [f"{line} & !:newline" for line in RULES]
            asked = {
                "all units by a rule, page": [("/search", {"q": f"rule: {r}"}) for r in rules],
                "all units by a rule, JSON": [
                    ("/api/v1/models/demo/search/rule", {"rule": r}) for r in RULES
                ],
                "evidence on one unit, page": [
                    (f"/demo/{unit}/test", {"rule": r})
                    for unit, r in itertools.product(UNITS, rules[:6])
                ],
            }
            client.get("/search", params={"q": "rule: :digit & :upper"})
            yield "| the demo's site, 10,240 units × 65,551 positions | median | worst |"
            yield "|---|---|---|"
            for name, addresses in asked.items():
                took = [_answer_time(client, *each) for each in addresses]
                yield f"| {name} | {_ms(took)} | {1e3 * max(took):.0f} ms |"
            began = time.perf_counter()
            command = [sys.executable, "-m", "app.cli", "label", "demo"]
            environment = {**os.environ, "UNITSCOPE_DATA_DIR": folder}
            subprocess.run(command, env=environment, check=True, stdout=sys.stderr)
            took_all = time.perf_counter() - began
            yield f"| labels of all units, `unitscope label demo` | {took_all:.1f} s | |"


def _answer_time(client: httpx.Client, path: str, query: dict[str, str]) -> float:
    began = time.perf_counter()
    client.get(path, params=query).raise_for_status()
    return time.perf_counter() - began


def _ms(seconds: list[float]) -> str:
    return f"{1e3 * statistics.median(seconds):.0f} ms"


if __name__ == "__main__":
    for row in table():
        print(row, flush=True)
