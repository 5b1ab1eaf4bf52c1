"""Where a model's files lie, what they may hold, and the hash that identifies them.

Everything is checked before a loader sees it: weights are safetensors or nothing (a pickle can run
code when it is read), and code that comes with a model is refused unless it was allowed by name.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidInput, NotFound

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_DATA_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.tiktoken")
_VOLATILE = ("_name_or_path", "transformers_version")
"""Entries of config.json that say who wrote it, not what the model computes."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's directory on this machine, checked; `revision` is the hub's commit."""

    name: str
    directory: Path
    revision: str | None
    config: dict[str, Any]
    weights: tuple[Path, ...]


def find_model(name_or_path: str, revision: str | None, *, trust_remote_code: bool) -> ModelFiles:
    """The files of a local directory or a hub id (downloaded, but for pickles and code).

    Raises NotFound where there is no such model, InvalidInput where its files cannot be used.
    """
    directory = Path(name_or_path).expanduser()
    if name_or_path and directory.is_dir():
        name, commit = directory.resolve().name, None
    else:
        directory = _download(name_or_path, revision, with_code=trust_remote_code)
        name = name_or_path
        commit = directory.name if _COMMIT.fullmatch(directory.name) else revision
    config = _read_config(directory, name)
    if not trust_remote_code:
        _refuse_code(config, name)
    return ModelFiles(name, directory, commit, config, _weight_files(directory, name))


def hash_weights(files: ModelFiles) -> str:
    """blake2b of the configuration and of every weight file's bytes, as 32 hex digits."""
    digest = hashlib.blake2b(digest_size=16)
    config = {key: value for key, value in files.config.items() if key not in _VOLATILE}
    digest.update(json.dumps(config, sort_keys=True).encode())
    for path in files.weights:
        digest.update(hash_file(path))
    return digest.hexdigest()


def hash_file(path: Path) -> bytes:
    """blake2b of one file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).digest()


def _download(name: str, revision: str | None, *, with_code: bool) -> Path:
    if not _HUB_ID.fullmatch(name):
        raise NotFound(
            f"No model at {name!r}: there is no such directory, and it is not a hub id "
            "(wanted `name` or `owner/name`)."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = [*_DATA_FILES, *(["*.py"] if with_code else [])]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise NotFound(
            f"No model {name!r}{at}: there is no such directory here, and the hub does not give "
            f"it ({_first_line(error)}). Check the name, the network and, for a gated model, "
            "the access token."
        ) from error


def _read_config(directory: Path, name: str) -> dict[str, Any]:
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidInput(
            f"{directory} is not a model in Hugging Face format: it holds no config.json."
        ) from error
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as JSON: {_first_line(error)}.") from error
    if not isinstance(config, dict):
        raise InvalidInput(f"{path} holds no JSON object; {name} cannot be loaded.")
    return config


def _refuse_code(config: dict[str, Any], name: str) -> None:
    from transformers import CONFIG_MAPPING

    if "auto_map" in config and config.get("model_type") not in CONFIG_MAPPING:
        raise InvalidInput(
            f"{name} brings code of its own to be run ({config['auto_map']}), which is refused. "
            "Pass --trust-remote-code if you have read that code and trust it."
        )


def _weight_files(directory: Path, name: str) -> tuple[Path, ...]:
    index = directory / "model.safetensors.index.json"
    single = directory / "model.safetensors"
    if single.is_file():
        return (single,)
    if index.is_file():
        return _shards(index)
    pickles = sorted(path.name for path in directory.iterdir() if path.suffix in _PICKLES)
    if pickles:
        raise InvalidInput(
            f"{name} has its weights in {pickles[0]}, a pickle, which can run code when it is "
            "read and is refused. Save it again with "
            "`model.save_pretrained(…, safe_serialization=True)`."
        )
    raise InvalidInput(
        f"{directory} holds no weights: wanted model.safetensors or "
        "model.safetensors.index.json (a pickle such as pytorch_model.bin would be refused)."
    )


def _shards(index: Path) -> tuple[Path, ...]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InvalidInput(f"{index} is not an index of weights: {_first_line(error)}.") from error
    for name in sorted(names):
        inside = Path(name).name == name and name.endswith(".safetensors")
        if not inside or not (index.parent / name).is_file():
            raise InvalidInput(
                f"{index} names the weight file {name!r}, which is not a safetensors file in "
                f"{index.parent}."
            )
    return tuple(index.parent / name for name in sorted(names))


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
