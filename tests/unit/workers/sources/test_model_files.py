"""Where a model comes from, as far as that can be told without loading it."""

import json
from pathlib import Path

import pytest

from app.errors import NotFound
from workers.sources.model_files import find_model, hash_weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def make_files(directory: Path, **config: object) -> Path:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps({"model_type": "gpt2"} | config))
    (directory / "model.safetensors").write_bytes(b"weights")
    return directory


def test_a_local_model_is_called_after_its_directory(tmp_path: Path) -> None:
    files = find_model(f"{make_files(tmp_path / 'mine')}/", None, trust_remote_code=False)
    assert (files.name, files.revision) == ("mine", None)
    assert [path.name for path in files.weights] == ["model.safetensors"]


@pytest.mark.parametrize("with_code", [False, True])
def test_a_hub_model_keeps_its_id_and_commit_and_downloads_no_pickle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_code: bool
) -> None:
    asked = {}

    def snapshot_download(name: str, **given: object) -> str:
        asked.update(given, name=name)
        return str(make_files(tmp_path / "snapshots" / COMMIT))

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    files = find_model("owner/model-1b", "main", trust_remote_code=with_code)
    assert (files.name, files.revision) == ("owner/model-1b", COMMIT)
    assert (asked["name"], asked["revision"]) == ("owner/model-1b", "main")
    patterns = asked["allow_patterns"]
    assert isinstance(patterns, list)
    assert ("*.py" in patterns) == with_code
    assert not any(pattern.endswith((".bin", ".pt", "*")) for pattern in patterns)


@pytest.mark.parametrize("name", ["", "/no/such", "../up", "a/b/c", "owner/na me", "-x", "~/none"])
def test_what_is_no_directory_and_no_hub_id_is_not_found(name: str) -> None:
    with pytest.raises(NotFound, match="it is not a hub id"):
        find_model(name, None, trust_remote_code=False)


def test_the_hash_is_of_weights_and_of_what_the_configuration_says(tmp_path: Path) -> None:
    def hashed(name: str, weights: bytes = b"weights", **config: object) -> str:
        directory = make_files(tmp_path / name, **config)
        (directory / "model.safetensors").write_bytes(weights)
        return hash_weights(find_model(str(directory), None, trust_remote_code=False))

    first = hashed("a")
    assert hashed("b", transformers_version="9.9", _name_or_path="elsewhere") == first
    assert hashed("c", n_layer=3) != first
    assert hashed("d", b"other weights") != first
