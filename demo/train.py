"""Make everything that ships in this folder: `python -m demo.train`, from the repository's root.

The steps, each of which reads only what the steps before it wrote:

    tokenizer     a byte-level BPE from the training modules
    model         the language model
    dictionaries  two SAEs and a transcoder, by SAELens
    measure       held-out figures (metrics.json) and the model card (README.md)

`--only STEP` runs one of them; `--quick` trains for a twentieth of the time, to try the steps out.
CUDA is used if it is there. The seed is fixed; another device, or another number of threads, rounds
differently and so gives a model that differs in detail.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace

import sae_lens
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, GPT2LMHeadModel

from demo.config import DICTIONARIES, DICTIONARY_FOLDER, MODEL_FOLDER, ModelSettings
from demo.data import tokenize_split, windows
from demo.dictionaries import save_dictionary, train_dictionary
from demo.measure import (
    measure_baselines,
    measure_corpus,
    measure_dictionaries,
    measure_model,
)
from demo.model import save_model, train_model
from demo.publish import replacing_files
from demo.report import record, shipped_bytes, write_card
from demo.tokenizer import save_tokenizer, train_tokenizer
from workers.sources.stdlib import side, stdlib_texts

QUICK_HASTE = 20


def device() -> torch.device:
    """The accelerator if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def hardware() -> str:
    """What the training ran on, in a few words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} CPU cores ({torch.backends.cpu.get_cpu_capability()})"


def make_tokenizer(_: int) -> None:
    """Train the tokenizer on the training modules."""
    documents = side(stdlib_texts().documents, held_out=False)
    tokenizer = train_tokenizer(text for _, text in documents)
    with replacing_files(MODEL_FOLDER) as scratch:
        save_tokenizer(tokenizer, scratch)


def shipped_tokenizer() -> Tokenizer:
    """The tokenizer as it was saved."""
    return Tokenizer.from_file(str(MODEL_FOLDER / "tokenizer.json"))


def shipped_model() -> GPT2LMHeadModel:
    """The language model as it was saved, in float32."""
    model: GPT2LMHeadModel = AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.float32)
    return model.to(device()).eval()


def make_model(haste: int) -> None:
    """Train the language model, saving it now and then so that an early one can be used."""
    settings = replace(ModelSettings(), n_steps=ModelSettings().n_steps // haste)
    stream = tokenize_split(shipped_tokenizer(), held_out=False).tokens
    for n_steps, model in train_model(stream, settings, device()):
        if n_steps % settings.n_steps_between_saves == 0 or n_steps == settings.n_steps:
            with replacing_files(MODEL_FOLDER) as scratch:
                save_model(model, scratch)


def make_dictionaries(haste: int) -> None:
    """Train the SAEs and the transcoder on the shipped model's activations."""
    model = shipped_model()
    stream = tokenize_split(shipped_tokenizer(), held_out=False).tokens
    for settings in DICTIONARIES:
        print(f"{settings.slug}: {settings.hook_name} -> {settings.hook_name_out}", flush=True)
        shorter = replace(settings, n_samples=settings.n_samples // haste)
        dictionary = train_dictionary(model, stream, shorter)
        with replacing_files(DICTIONARY_FOLDER / settings.slug) as scratch:
            save_dictionary(dictionary, scratch)


def measure(_: int) -> None:
    """Measure what ships on the held-out modules; write the figures and the model card."""
    model, tokenizer = shipped_model(), shipped_tokenizer()
    train = tokenize_split(tokenizer, held_out=False)
    held_out = tokenize_split(tokenizer, held_out=True)
    figures = record(
        model=measure_model(model, train, held_out),
        baselines=measure_baselines(train, held_out),
        corpus=measure_corpus(train, held_out),
        dictionaries=measure_dictionaries(model, windows(held_out.tokens)),
        bytes=shipped_bytes(),
        python=platform.python_version(),
        torch=torch.__version__,
        sae_lens=sae_lens.__version__,
        hardware=hardware(),
    )
    write_card(figures)


STEPS: dict[str, Callable[[int], None]] = {
    "tokenizer": make_tokenizer,
    "model": make_model,
    "dictionaries": make_dictionaries,
    "measure": measure,
}


def main() -> None:
    """Run all steps, or the one that was asked for."""
    parser = argparse.ArgumentParser(description="Train what ships in demo/.")
    parser.add_argument("--only", choices=list(STEPS), help="run this step alone")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the training")
    arguments = parser.parse_args()
    for name, step in STEPS.items():
        if arguments.only in (None, name):
            print(f"== {name}", flush=True)
            started = time.monotonic()
            step(QUICK_HASTE if arguments.quick else 1)
            record(seconds={name: round(time.monotonic() - started)})


if __name__ == "__main__":
    main()
