"""SAEs and transcoders, as SAELens keeps them, as sources of units.

Everything that can be wrong between an SAE and a model is found when the source is made: the hook
point, the layer, both widths. Weights come from safetensors; a directory that only has a pickle is
refused, and what `saelens:` releases keep in pickles is read by torch's weights-only unpickler,
which runs no code.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from app.errors import InvalidInput, NotFound
from app.slugs import is_slug, slugify
from workers.sources.encoders import Encoder, encoder_of
from workers.sources.hook_points import HookPoint
from workers.sources.language_models import WRITTEN_AT, LoadedModel
from workers.sources.quiet import LIBRARY_ERRORS, quiet

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"
_RELEASE = "saelens:"
_NEURON_SLUG = re.compile(r"mlp-\d+")
# What ends in a ReLU: their latents are never negative (matching pursuit adds ReLUs up).
_UNSIGNED = frozenset(
    {
        "standard",
        "gated",
        "jumprelu",
        "topk",
        "matching_pursuit",
        "temporal",
        "transcoder",
        "skip_transcoder",
        "jumprelu_transcoder",
        "jumprelu_skip_transcoder",
    }
)
_CENTRED = "center_writing_weights"


@dataclass(frozen=True, slots=True)
class SaeSource:
    """The latents of one SAE or transcoder; `read` needs activations on the model's device.

    `is_centred`: it was trained on a residual stream whose mean had been folded away, so each
    vector's mean is subtracted first.
    """

    slug: str
    kind: str
    hook_point: str
    hook_point_out: str
    layer: int
    n_units: int
    weights_hash: str
    details: dict[str, Any]
    sae: Any
    model: LoadedModel
    is_centred: bool
    encoder: Encoder | None
    is_sparse: bool = True

    @property
    def is_signed(self) -> bool:
        """Whether a latent may be negative; where SAELens has an architecture new to us, it may."""
        return self.sae.cfg.architecture() not in _UNSIGNED

    @property
    def is_elementwise(self) -> bool:
        """Whether a latent can be read without the others."""
        return self.encoder is not None and self.encoder.is_elementwise

    def read(self, x: Float[Tensor, "batch pos d"]) -> Float[Tensor, "batch pos units"]:
        """The latents' activations in float32, given the model's at `hook_point`."""
        x = self._prepare(x)
        with torch.no_grad():
            if self.encoder is not None:
                return self._encode(self.encoder, x, slice(None))
            found: Tensor = self.sae.encode(x)
        return found.to_dense() if found.is_sparse else found

    def read_blocks(
        self, x: Float[Tensor, "batch pos d"], most_units: int
    ) -> Iterator[tuple[int, Float[Tensor, "batch pos units"]]]:
        """Blocks of latents where each can be read without the others, else all at once."""
        if self.encoder is None or not self.is_elementwise or self.n_units <= most_units:
            yield 0, self.read(x)
            return
        x = self._prepare(x)
        for first in range(0, self.n_units, most_units):
            with torch.no_grad():
                block = self._encode(self.encoder, x, slice(first, first + most_units))
            yield first, block

    def _prepare(self, x: Float[Tensor, "batch pos d"]) -> Float[Tensor, "batch pos d"]:
        x = x.float()
        return x - x.mean(dim=-1, keepdim=True) if self.is_centred else x

    def _encode(
        self, encoder: Encoder, x: Float[Tensor, "batch pos d"], units: slice
    ) -> Float[Tensor, "batch pos units"]:
        given: Tensor = self.sae.process_sae_in(x)
        return encoder.encode(given.flatten(0, 1), units).reshape(*x.shape[:2], -1)

    def output_directions(self) -> Float[Tensor, "units d_model"]:
        """What one unit of activation adds to the residual stream; float32 on the CPU.

        Decoder rows, through the model's own output matrix where the dictionary writes inside a
        block (MLP neurons, attention heads).
        """
        W_dec: Tensor = self.sae.W_dec.detach().float().cpu()
        if getattr(self.sae.cfg, "rescale_acts_by_decoder_norm", False):
            W_dec = W_dec / W_dec.norm(dim=1, keepdim=True).clamp(min=1e-8)
        if HookPoint.parse(self.hook_point_out).place in WRITTEN_AT:
            return W_dec @ self.model.output_matrix(self.hook_point_out)
        return W_dec


def sae_source(spec: str, model: LoadedModel, slug: str | None = None) -> SaeSource:
    """An SAE or a transcoder: a directory that SAELens writes, or `saelens:RELEASE:ID`.

    Raises NotFound where there is none, InvalidInput where it cannot be used or does not fit.
    """
    chosen = _choose_slug(spec, slug)
    sae = _load_release(spec, model) if spec.startswith(_RELEASE) else _load_directory(spec, model)
    sae.turn_off_forward_pass_hook_z_reshaping()  # our activations come with heads side by side
    read_at, written_at = _hook_points(sae, spec)
    _check_fit(sae, spec, model, read_at, written_at)
    _check_finite(sae, spec)
    return SaeSource(
        slug=chosen,
        kind="sae_latent" if read_at == written_at else "transcoder_latent",
        hook_point=read_at,
        hook_point_out=written_at,
        layer=HookPoint.parse(read_at).layer or 0,
        n_units=int(sae.cfg.d_sae),
        weights_hash=_hash(sae),
        details=_details(sae, spec),
        sae=sae,
        model=model,
        is_centred=_wants_centring(sae, read_at),
        encoder=encoder_of(sae),
    )


def _choose_slug(spec: str, slug: str | None) -> str:
    if slug is None:
        is_release = spec.startswith(_RELEASE)
        name = spec.split(":", 2)[-1].replace("/", "-") if is_release else Path(spec).resolve().name
        slug = slugify(name, fallback="sae")
    if not is_slug(slug):
        raise InvalidInput(
            f"--sae-name {slug!r} cannot be part of an address: wanted small letters, digits, "
            f"dots, dashes and underscores, for example {slugify(slug, fallback='my-sae')!r}."
        )
    if _NEURON_SLUG.fullmatch(slug):
        raise InvalidInput(
            f"The name {slug!r} belongs to a layer's MLP neurons: pass another --sae-name."
        )
    return slug


def _load_directory(spec: str, model: LoadedModel) -> Any:
    from safetensors import SafetensorError

    directory = Path(spec).expanduser()
    _check_directory(directory, spec)
    with quiet():
        from sae_lens import SAE

        try:
            return SAE.load_from_disk(directory, device=str(model.device), dtype="float32")
        except (*LIBRARY_ERRORS, SafetensorError) as error:
            raise InvalidInput(
                f"The SAE {spec} cannot be loaded: its configuration and weights do not make an "
                f"SAE ({error})."
            ) from error


def _check_directory(directory: Path, spec: str) -> None:
    if not directory.is_dir():
        raise NotFound(
            f"No SAE at {spec!r}: wanted a directory that SAELens writes, or saelens:RELEASE:ID."
        )
    pickles = sorted(p.name for p in directory.iterdir() if p.suffix in (".pt", ".bin", ".pth"))
    if not (directory / WEIGHTS).is_file() and pickles:
        raise InvalidInput(
            f"The SAE in {directory} has its weights in {pickles[0]}, a pickle, which can run code "
            f"when it is read and is refused. Load it with SAELens and save it again: that writes "
            f"{WEIGHTS}."
        )
    for name in (CONFIG, WEIGHTS):
        if not (directory / name).is_file():
            raise InvalidInput(f"{directory} is not an SAE that SAELens wrote: it lacks {name}.")


def _load_release(spec: str, model: LoadedModel) -> Any:
    parts = spec.removeprefix(_RELEASE).split(":", 1)
    if len(parts) != 2 or not all(parts):
        raise InvalidInput(f"{spec!r} names no SAE: wanted saelens:RELEASE:ID.")
    with quiet():
        from sae_lens import SAE

        try:
            return SAE.from_pretrained(parts[0], parts[1], device=str(model.device))
        except LIBRARY_ERRORS as error:
            raise NotFound(f"SAELens gives no {spec}: {error}") from error


def _hook_points(sae: Any, spec: str) -> tuple[str, str]:
    """Where the dictionary reads and where it writes."""
    metadata = sae.cfg.metadata
    read_at = metadata.hook_name
    if not isinstance(read_at, str) or not read_at:
        raise InvalidInput(
            f"The SAE {spec} does not say where in a model it belongs: the metadata in its "
            f"{CONFIG} has no hook_name. Add it, for example blocks.3.hook_resid_post."
        )
    if metadata.hook_head_index is not None:
        raise InvalidInput(
            f"The SAE {spec} reads one attention head ({metadata.hook_head_index}) of {read_at}; "
            "SAEs of a single head are not supported."
        )
    if "transcoder" not in sae.cfg.architecture():
        return read_at, read_at
    written_at = metadata.hook_name_out
    if not isinstance(written_at, str) or not written_at:
        raise InvalidInput(
            f"The transcoder {spec} does not say where it writes: the metadata in its {CONFIG} "
            "has no hook_name_out."
        )
    return read_at, written_at


def _check_fit(sae: Any, spec: str, model: LoadedModel, read_at: str, written_at: str) -> None:
    d_out = int(getattr(sae.cfg, "d_out", sae.cfg.d_in))
    for verb, hook_point, width in (
        ("reads", read_at, int(sae.cfg.d_in)),
        ("writes", written_at, d_out),
    ):
        try:
            has = model.width(hook_point)
        except InvalidInput as error:
            raise InvalidInput(f"The SAE {spec} does not fit {model.name}: {error}") from error
        if width != has:
            raise InvalidInput(
                f"The SAE {spec} does not fit {model.name}: it {verb} {width} dimensions at "
                f"{hook_point}, where the model has {has}. It was trained on "
                f"{sae.cfg.metadata.model_name or 'another model'}."
            )
    if d_out != model.d_model and HookPoint.parse(written_at).place not in WRITTEN_AT:
        raise InvalidInput(
            f"The SAE {spec} writes {d_out} dimensions at {written_at}, which are not added to "
            f"the residual stream of {model.d_model}; such a place is not supported."
        )


def _check_finite(sae: Any, spec: str) -> None:
    for name, tensor in sae.state_dict().items():
        if not bool(tensor.isfinite().all()):
            raise InvalidInput(
                f"The SAE {spec} cannot be used: {name} holds a NaN or an infinity. Take another "
                "checkpoint of it."
            )


def _wants_centring(sae: Any, read_at: str) -> bool:
    asked = sae.cfg.metadata.model_from_pretrained_kwargs or {}
    return bool(asked.get(_CENTRED)) and HookPoint.parse(read_at).is_residual_width


def _hash(sae: Any) -> str:
    """blake2b of what the dictionary computes: its configuration and every tensor; 32 digits."""
    digest = hashlib.blake2b(digest_size=16)
    config = {k: v for k, v in sae.cfg.to_dict().items() if k not in ("device", "metadata")}
    metadata = sae.cfg.metadata
    config["hooks"] = [metadata.hook_name, metadata.hook_name_out]
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in sorted(sae.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _details(sae: Any, spec: str) -> dict[str, Any]:
    metadata = sae.cfg.metadata
    is_release = spec.startswith(_RELEASE)
    details = {
        "architecture": sae.cfg.architecture(),
        "release": spec.removeprefix(_RELEASE) if is_release else None,
        "directory": None if is_release else Path(spec).resolve().name,
        "trained_on": metadata.model_name,
        "normalize_activations": sae.cfg.normalize_activations,
        "context_size": metadata.context_size,
        "dataset": metadata.dataset_path,
        "prepend_bos": metadata.prepend_bos,
        "is_centred": _wants_centring(sae, metadata.hook_name),
        "k": getattr(sae.cfg, "k", None),
    }
    return {key: value for key, value in details.items() if isinstance(value, (str, int, bool))}
