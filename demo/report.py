"""The figures file and the model card made from it.

Every figure of the card comes from `metrics.json`, so the two cannot disagree.
"""

import json
from typing import Any

from demo.config import (
    CARD_FILE,
    CONTEXT_LENGTH,
    DICTIONARIES,
    DICTIONARY_FOLDER,
    METRICS_FILE,
    MODEL_FOLDER,
    SEED,
    VOCABULARY_SIZE,
    ModelSettings,
)
from demo.publish import replacing_files

Figures = dict[str, Any]


def read_figures() -> Figures:
    """What has been recorded so far; nothing if there is no file yet."""
    if not METRICS_FILE.exists():
        return {}
    figures: Figures = json.loads(METRICS_FILE.read_text())
    return figures


def record(**changes: Any) -> Figures:
    """Merge `changes` into the figures file: each key replaces, `seconds` adds its steps."""
    figures = read_figures()
    seconds = {**figures.get("seconds", {}), **changes.pop("seconds", {})}
    figures = {**figures, **changes, "seconds": seconds}
    with replacing_files(METRICS_FILE.parent) as scratch:
        text = json.dumps(figures, indent=2, sort_keys=True) + "\n"
        (scratch / METRICS_FILE.name).write_text(text)
    return figures


def shipped_bytes() -> int:
    """Size of everything that ships: model, tokenizer and dictionaries."""
    folders = [MODEL_FOLDER, *(DICTIONARY_FOLDER / d.slug for d in DICTIONARIES)]
    return sum(path.stat().st_size for folder in folders for path in folder.iterdir())


def write_card(figures: Figures) -> None:
    """Write the model card."""
    sections = (_introduction, _model_table, _dictionary_table, _data, _limits, _retraining)
    with replacing_files(CARD_FILE.parent) as scratch:
        text = "\n\n".join(section(figures) for section in sections) + "\n"
        (scratch / CARD_FILE.name).write_text(text)


def _introduction(figures: Figures) -> str:
    settings = ModelSettings()
    return f"""# The demo model

Written by `python -m demo.train`; edit `demo/report.py`, not this file.

A small language model of Python source, two sparse autoencoders and a transcoder, trained from
nothing for this project so that there is something real to look into without a download.

| part | what it is |
|---|---|
| `model/` | `GPT2LMHeadModel`: {settings.n_layers} layers, width {settings.d_model}, \
{settings.n_heads} heads, GELU MLPs of {4 * settings.d_model} neurons, context {CONTEXT_LENGTH}, \
{figures["model"]["n_parameters"]:,} parameters, embeddings tied; stored as float16, loads as \
float32 |
| `model/tokenizer.json` | byte-level BPE of {VOCABULARY_SIZE:,} tokens; `<|endoftext|>` (id 0) is \
BOS, EOS and padding |
| `saes/` | SAELens directories, see the table below |

{figures["bytes"] / 1e6:.1f} MB in all, in safetensors. Load with \
`AutoModelForCausalLM.from_pretrained("demo/model")` or \
`TransformerBridge.boot_transformers("demo/model")`, and `SAE.load_from_disk("demo/saes/res-2")`. \
The model has always seen `<|endoftext|>` first: put it before every window."""


def _model_table(figures: Figures) -> str:
    model, baselines = figures["model"], figures["baselines"]
    return f"""## Held-out loss

Nats a token on {model["n_tokens_measured"]:,} tokens of \
{figures["corpus"]["n_held_out_modules"]} modules that neither the model nor the tokenizer was \
trained on. The n-grams are interpolated Kneser-Ney models of the same training tokens, measured \
on the same held-out ones.

| | nats a token |
|---|---|
| **this model** | **{model["loss"]:.3f}** |
| trigram | {baselines["trigram"]:.3f} |
| bigram | {baselines["bigram"]:.3f} |
| unigram | {baselines["unigram"]:.3f} |
| uniform | {baselines["uniform"]:.3f} |

The model sees at most {CONTEXT_LENGTH} tokens, and the first of each window with no context but \
BOS. On as many windows of the training modules its loss is {model["training_loss"]:.3f}."""


def _dictionary_table(figures: Figures) -> str:
    lines = [
        f"| `{d['slug']}` | {d['architecture']} | `{_route(d)}` | {d['n_latents']:,} "
        f"| {d['l0']:.1f} | {d['variance_unexplained']:.3f} "
        f"| {d['loss_recovered_mean_ablation']:.3f} | {d['loss_recovered_zero_ablation']:.3f} "
        f"| {d['dead_share']:.1%} |"
        for d in figures["dictionaries"]
    ]
    first = figures["dictionaries"][0]
    return f"""## Dictionaries

On the held-out modules, BOS positions left out: L0, variance unexplained and dead latents (active \
at none of them) on {first["n_positions"]:,} positions, loss recovered on \
{first["n_positions_spliced"]:,}. Loss recovered is (L_ablated - L_replaced) / (L_ablated - \
L_intact), with the activation replaced by the dictionary's output at every position but BOS, \
against ablation to the mean and to zero. The figures behind it are in `metrics.json`.

| slug | architecture | hook point | latents | L0 | variance unexplained | loss recovered (mean) \
| loss recovered (zero) | dead |
|---|---|---|---|---|---|---|---|---|
""" + "\n".join(lines)


def _route(dictionary: Figures) -> str:
    if dictionary["hook_name"] == dictionary["hook_name_out"]:
        return str(dictionary["hook_name"])
    return f"{dictionary['hook_name']}` -> `{dictionary['hook_name_out']}"


def _data(figures: Figures) -> str:
    corpus = figures["corpus"]
    return f"""## Data and licence

Trained on the Python source of the standard library of Python {figures["python"]}: \
{corpus["n_train_modules"]:,} modules, {corpus["n_train_tokens"]:,} tokens, \
{corpus["bytes_per_token"]:.2f} bytes a token. That library is the Python Software Foundation's, \
under the PSF License Agreement. It is read from the interpreter that runs the training and is not \
redistributed here; what ships is weights and a vocabulary.

{corpus["n_held_out_modules"]} modules are held out by a hash of their names \
(`workers/sources/stdlib.py`, which also says which near copies are kept on one side). \
{corpus["repeated_share"]:.1%} of the held-out tokens lie in runs of {corpus["run_length"]} tokens \
that occur word for word in the training modules (licence headers, passages copied between tests). \
{corpus["n_undecodable"]} files whose encoding is broken on purpose are left out."""


def _limits(_: Figures) -> str:
    return """## Limits

- It knows one body of text. Other languages, natural or artificial, it has seen only in tests and
  comments, and code since this Python version not at all.
- It was made to be looked into, not to write code: what it continues looks like Python and does
  nothing sensible. It can repeat short passages of the library, names of authors included.
- More than half of the library is its own test suite, so many units are about tests: expect
  latents for `self.assertEqual` and its kin.
- A top-k dictionary is sparse at every position, whether or not the activation is simple there."""


def _retraining(figures: Figures) -> str:
    longest_first = sorted(figures["seconds"].items(), key=lambda step: -step[1])
    minutes = ", ".join(f"{name} {value / 60:.1f} min" for name, value in longest_first)
    return f"""## Training it again

    python -m demo.train

from the repository's root; `--only tokenizer`, `model`, `dictionaries` or `measure` runs one \
step, `--quick` a twentieth of the training. Seed {SEED}, \
{figures["model"]["n_tokens_seen"]:,} tokens for the model, \
{DICTIONARIES[0].n_samples:,} activations for each dictionary. The steps took ({minutes}) on \
{figures["hardware"]}, torch {figures["torch"]}, SAELens {figures["sae_lens"]}, while other work \
ran on the same machine. The same seed gives the same run on the same hardware, thread count and \
versions; elsewhere rounding makes the weights differ and the figures nearly equal.

On a CPU with glibc, set `MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 \
MALLOC_TOP_PAD_=268435456`: large temporaries are then reused rather than returned to the system, \
and the dictionaries train twice as fast."""
