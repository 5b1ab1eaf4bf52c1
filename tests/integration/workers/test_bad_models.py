"""Model directories that cannot be used: a clear error, before anything runs or is loaded."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.errors import AppError, InvalidInput, NotFound
from tests import tiny_tokenizers
from tests.tiny_models import save_tokenizer
from workers.sources.language_models import load_model


@pytest.fixture
def broken(model_directory: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a model for a test to break."""
    return Path(shutil.copytree(model_directory("gpt2"), tmp_path / "broken"))


def fails_with(directory: Path, pattern: str, kind: type[AppError] = InvalidInput) -> None:
    with pytest.raises(kind, match=pattern):
        load_model(str(directory), device="cpu")


def edit_config(directory: Path, **changes: object) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class Bomb:
    """Leaves a mark if it is ever unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "model.ckpt"])
def test_a_pickle_is_refused_and_never_read(broken: Path, tmp_path: Path, name: str) -> None:
    (broken / "model.safetensors").unlink()
    (broken / name).write_bytes(pickle.dumps(Bomb(tmp_path / "mark")))
    fails_with(broken, rf"weights in {name}, a pickle.*safe_serialization=True")
    assert not (tmp_path / "mark").exists()


def test_code_of_its_own_is_refused_unless_allowed(broken: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (broken / "theirs.py").write_text(
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
        "from transformers import GPT2Config\n"
        "class Theirs(GPT2Config):\n    model_type = 'theirs'\n"
    )
    edit_config(broken, model_type="theirs", auto_map={"AutoConfig": "theirs.Theirs"})
    fails_with(broken, r"brings code of its own.*--trust-remote-code")
    assert not mark.exists()
    with pytest.raises(InvalidInput):  # allowed, it runs; that it makes no model is another matter
        load_model(str(broken), device="cpu", trust_remote_code=True)
    assert mark.exists()


def test_a_directory_without_config_is_no_model(tmp_path: Path) -> None:
    fails_with(tmp_path, "holds no config.json")


@pytest.mark.parametrize("content", ["{", "[]", '"text"', "\0"])
def test_a_config_that_is_no_json_object_is_named(broken: Path, content: str) -> None:
    (broken / "config.json").write_text(content)
    fails_with(broken, r"config\.json")


def test_a_directory_without_weights_says_what_is_wanted(broken: Path) -> None:
    (broken / "model.safetensors").unlink()
    fails_with(broken, r"holds no weights: wanted model\.safetensors")


def test_weights_cut_short_are_named(broken: Path) -> None:
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    fails_with(broken, "The weights of broken cannot be loaded")


def test_weights_that_lack_a_tensor_are_refused(broken: Path) -> None:
    tensors = load_file(broken / "model.safetensors")
    del tensors["transformer.h.1.mlp.c_fc.weight"]
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    fails_with(broken, r"lack 1 of the model's tensors.*h\.1\.mlp\.c_fc\.weight")


def test_weights_of_another_shape_are_refused(broken: Path) -> None:
    edit_config(broken, n_embd=64)
    fails_with(broken, "The weights of broken cannot be loaded")


def test_an_index_may_not_lead_out_of_the_directory(broken: Path) -> None:
    (broken / "model.safetensors").rename(broken.parent / "elsewhere.safetensors")
    index = {"weight_map": {"transformer.wte.weight": "../elsewhere.safetensors"}}
    (broken / "model.safetensors.index.json").write_text(json.dumps(index))
    fails_with(broken, r"names the weight file '\.\./elsewhere\.safetensors'")


def test_an_unknown_architecture_is_named(broken: Path) -> None:
    edit_config(broken, model_type="no-such-type", architectures=["NoSuchModel"])
    fails_with(broken, r"configuration of broken cannot be loaded.*no-such-type")


def test_a_model_without_a_tokenizer_is_refused(broken: Path) -> None:
    (broken / "tokenizer.json").unlink()
    (broken / "tokenizer_config.json").unlink()
    fails_with(broken, "okenizer")


def test_a_tokenizer_with_more_tokens_than_the_model_does_not_fit(broken: Path) -> None:
    save_tokenizer(tiny_tokenizers.metaspace(), broken)
    fails_with(broken, r"does not fit the model: it gives token ids up to 469.*knows 400")


def test_a_broken_tokenizer_is_named(broken: Path) -> None:
    (broken / "tokenizer.json").write_text('{"model": 3}')
    fails_with(broken, "tokenizer of broken cannot be loaded")


def test_a_file_is_no_model(broken: Path) -> None:
    fails_with(broken / "config.json", "no such directory", NotFound)


def test_bfloat16_is_loaded_as_asked(model_directory: Callable[[str], Path]) -> None:
    model = load_model(str(model_directory("gpt2")), device="cpu", dtype="bfloat16")
    assert model.hf_model.transformer.wte.weight.dtype == torch.bfloat16
    assert model.details["dtype"] == "bfloat16"
