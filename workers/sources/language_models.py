"""Language models: plain Hugging Face modules, addressed by TransformerLens's names.

The model runs as Hugging Face runs it (SDPA where it has it), under hooks that `run_to` sets for
one call; the forward ends as soon as every tensor asked for has been seen, so nothing beyond the
last hooked module is computed, the logits never.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from app.errors import InvalidInput
from workers.kernels.logit_lens import CONVENTION
from workers.sources.controls import Control, control_hash, redraw_weights
from workers.sources.hook_points import HookPlace, HookPoint, HookTable, build_hook_table
from workers.sources.model_files import ModelFiles, find_model, hash_weights
from workers.sources.quiet import LIBRARY_ERRORS, quiet
from workers.sources.tokenizers import TextTokenizer, load_tokenizer

__all__ = [
    "HookPlace",
    "HookPoint",
    "LoadedModel",
    "Unembedding",
    "choose_device",
    "load_model",
]

WRITTEN_AT = {"mlp.hook_post": "hook_mlp_out", "attn.hook_z": "hook_attn_out"}
"""Places inside a block whose dimensions write through a matrix, and where their sum is seen."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class _AllSeen(Exception):
    """Ends a forward from inside a hook; never leaves `run_to`."""


@dataclass(frozen=True, slots=True)
class Unembedding:
    """What lies between the residual stream and the logits; float32 on the CPU.

    `norm_weight`: the final norm's gain (None: no final norm), offsets such as Gemma's included.
    `is_centred`: the final norm subtracts the mean first (LayerNorm).
    `W_U` has a column for each token that the tokenizer knows, in order of id.
    """

    norm_weight: Float[Tensor, " d_model"] | None
    is_centred: bool
    W_U: Float[Tensor, "d_model d_vocab"]


@dataclass(slots=True)
class LoadedModel:
    """A causal language model ready to be scanned: in evaluation mode, without gradients."""

    hf_model: Any
    tokenizer: TextTokenizer
    name: str
    revision: str | None
    weights_hash: str
    tokenizer_hash: str
    architecture: str
    n_layers: int
    d_model: int
    d_mlp: int | None
    d_vocab: int
    n_ctx: int | None
    n_params: int
    bos_token_id: int | None
    prepends_bos: bool
    details: dict[str, Any]
    device: torch.device
    dtype: torch.dtype
    hooks: HookTable

    def has_bos(self, choice: Literal["auto", "yes", "no"]) -> bool:
        """Whether windows get a BOS put in; InvalidInput for `yes` where there is none."""
        if choice == "yes" and self.bos_token_id is None:
            raise InvalidInput(
                f"{self.name} has no BOS token, so none can be put in: use --bos no or auto."
            )
        if choice == "auto":
            return self.prepends_bos and self.bos_token_id is not None
        return choice == "yes"

    def hook(self, hook_point: str) -> HookPlace:
        """The place of `hook_point`; InvalidInput where the plain model has no such place."""
        return self.hooks.find(hook_point, self.hf_model)

    def width(self, hook_point: str) -> int:
        """Width of the activations at `hook_point`, by a forward of a few tokens.

        Raises InvalidInput where there is not one vector for each position of each window.
        """
        tokens = torch.zeros((2, 3), dtype=torch.long, device=self.device)
        shape = tuple(self.run_to(tokens, None, [hook_point])[hook_point].shape)
        if len(shape) != 3 or shape[:2] != (2, 3):
            raise InvalidInput(f"At {hook_point} there is not one vector for each position.")
        return int(shape[2])

    def run_to(
        self,
        token_ids: Int[Tensor, "batch pos"],
        attention_mask: Int[Tensor, "batch pos"] | None,
        hook_points: Sequence[str],
    ) -> dict[str, Float[Tensor, "batch pos d"]]:
        """Activations at `hook_points`, by one forward that stops after the last of them.

        Pad on the right: attention is causal, so what follows a position cannot change it, and
        `attention_mask=None` is right (and fast); what stands at padding is of no use. Tensors
        may share memory with the model's own; do not write into them. Places per head
        (`attn.hook_z`) come with their heads side by side: "batch pos (head d_head)".
        """
        seen: dict[str, Tensor] = {}
        self.run_through(token_ids, attention_mask, hook_points, seen.__setitem__)
        return seen

    def run_through(
        self,
        token_ids: Int[Tensor, "batch pos"],
        attention_mask: Int[Tensor, "batch pos"] | None,
        hook_points: Sequence[str],
        take: Callable[[str, Float[Tensor, "batch pos d"]], None],
    ) -> None:
        """`run_to`, but each tensor goes to `take` as soon as it is there, and none is kept."""
        missing = set(hook_points)

        def see(name: str, convert: Callable[[Tensor], Tensor] | None, found: Tensor) -> None:
            if name not in missing:
                return
            missing.remove(name)
            if found.dim() == 2 and len(found) == token_ids.numel():
                found = found.reshape(*token_ids.shape, -1)  # OPT's MLP sees positions in a row
            take(name, found if convert is None else convert(found))
            if not missing:
                raise _AllSeen

        places = [(name, self.hook(name)) for name in dict.fromkeys(hook_points)]
        handles = [_attach(place, name, see) for name, place in places]
        try:
            with torch.no_grad():
                self.hf_model(input_ids=token_ids, attention_mask=attention_mask, use_cache=False)
        except _AllSeen:
            return
        finally:
            for handle in handles:
                handle.remove()
        raise InvalidInput(f"A forward of {self.name} never reached {', '.join(sorted(missing))}.")

    def mlp_hook(self, layer: int) -> str:
        """The hook point of a layer's MLP neurons."""
        return f"blocks.{layer}.mlp.hook_post"

    def mlp_width(self, layer: int) -> int:
        """Neurons of a layer's MLP."""
        return int(_matrix_of(self.hook(self.mlp_hook(layer)).module, self.d_model).shape[0])

    def neuron_directions(self, layer: int) -> Float[Tensor, "units d_model"]:
        """What each neuron's activation of 1 adds to the residual stream; float32 on the CPU."""
        return self.output_matrix(self.mlp_hook(layer))

    def output_matrix(self, hook_point: str) -> Float[Tensor, "d d_model"]:
        """What each dimension at `mlp.hook_post` or `attn.hook_z` adds to the residual stream.

        Where that goes through a norm of its own (Gemma 2), the norm's gain is included and its
        division, which depends on the text, is not. float32 on the CPU.
        """
        point = HookPoint.parse(hook_point)
        matrix = _matrix_of(self.hook(hook_point).module, self.d_model).detach().float().cpu()
        seen_at = f"blocks.{point.layer}.{WRITTEN_AT[point.place]}"
        if seen_at in self.hooks.entries:
            after = self.hook(seen_at)
            if after.side == "output" and "norm" in type(after.module).__name__.lower():
                matrix = matrix * measure_norm(after.module, self.d_model)[0]
        return matrix

    def unembedding(self) -> Unembedding:
        """The final norm and the unembedding."""
        matrix = self.hf_model.get_output_embeddings().weight.detach().float().cpu()
        if matrix.shape[1] != self.d_model:
            raise InvalidInput(
                f"The unembedding of {self.name} reads {matrix.shape[1]} dimensions, the residual "
                f"stream has {self.d_model}: a logit lens cannot be drawn."
            )
        W_U = matrix[: self.tokenizer.n_tokens].T
        if "ln_final.hook_out" not in self.hooks.entries:
            return Unembedding(None, False, W_U)
        norm = self.hook("ln_final.hook_out").module
        gain, is_centred = measure_norm(norm, self.d_model)
        return Unembedding(gain, is_centred, W_U)


def load_model(
    name_or_path: str,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    control: Control | None = None,
) -> LoadedModel:
    """Loads a hub id or a local directory in Hugging Face format; safetensors only.

    With `control` it is another model, of that one's shape. `auto` takes a GPU where there is one,
    and bfloat16 on it; float32 on the CPU. Raises NotFound for a model that is not there,
    InvalidInput for one that cannot be used and for a tokenizer that does not fit it; what is wrong
    with the files is found before anything is loaded.
    """
    on = choose_device(device)
    kind = _choose_dtype(dtype, on)
    with quiet():
        files = find_model(name_or_path, revision, trust_remote_code=trust_remote_code)
        hooks = _read_hooks(files, trust_remote_code)
        tokenizer = load_tokenizer(files, trust_remote_code=trust_remote_code)
        _check_tokenizer(tokenizer, files.name, int(hooks.cfg.d_vocab))
        hf_model = _load_weights(files, kind, trust_remote_code).to(on)
    loaded = _describe(files, hooks, tokenizer, hf_model, on, kind)
    return loaded if control is None else _as_control(loaded, control)


def _as_control(model: LoadedModel, control: Control) -> LoadedModel:
    redraw_weights(model.hf_model)
    return replace(
        model,
        name=f"{model.name}-{control}",
        weights_hash=control_hash(model.weights_hash, control),
        details=model.details | {"control": control, "control_of": model.weights_hash},
    )


def measure_norm(norm: nn.Module, d_model: int) -> tuple[Float[Tensor, " d_model"], bool]:
    """A norm's gain, and whether it subtracts the mean; float32 on the CPU.

    Measured rather than read, since some norms store the gain less 1: on a vector of ±r with
    mean zero and its negative, a norm gives ±gain + bias, whatever its kind.
    """
    parameter = next(norm.parameters(), torch.zeros(()))
    signs = torch.ones(d_model)
    signs[1::2] = -1
    if d_model % 2:
        signs[-3:] = torch.tensor([1.0, 1.0, -2.0])  # mean zero needs an even split otherwise
    big = (signs * 1e3).to(parameter)
    with torch.no_grad():
        up, down = norm(big).float().cpu(), norm(-big).float().cpu()
        flat = norm(torch.full_like(big, 1e3)) - norm(torch.full_like(big, -1e3))
    rms = signs.square().mean().sqrt()
    return (up - down) / 2 / signs * rms, bool(flat.float().abs().max() < 1e-2)


def choose_device(device: str) -> torch.device:
    """What `--device` names, on this machine. Raises InvalidInput for what is not here."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InvalidInput(f"--device {device}: wanted auto, cpu, cuda or cuda:N.") from error
    n_gpus = torch.cuda.device_count()
    if chosen.type == "cuda" and (chosen.index or 0) >= n_gpus:
        raise InvalidInput(f"--device {device}: this machine has {n_gpus} usable GPUs.")
    if chosen.type not in ("cpu", "cuda"):
        raise InvalidInput(f"--device {device}: wanted auto, cpu, cuda or cuda:N.")
    return chosen


def _choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if dtype not in _DTYPES:
        raise InvalidInput(f"--dtype {dtype}: wanted auto, float32 or bfloat16.")
    return _DTYPES[dtype]


@contextmanager
def _explained(files: ModelFiles, what: str) -> Iterator[None]:
    """Turns what a library says of files from outside into an error for a person."""
    from safetensors import SafetensorError

    try:
        yield
    except (*LIBRARY_ERRORS, SafetensorError) as error:
        raise InvalidInput(f"{what} of {files.name} cannot be loaded: {error}") from error


def _read_hooks(files: ModelFiles, trust_remote_code: bool) -> HookTable:
    from transformers import AutoConfig

    with _explained(files, "The configuration"):
        config = AutoConfig.from_pretrained(files.directory, trust_remote_code=trust_remote_code)
        return build_hook_table(config, trust_remote_code=trust_remote_code)


def _load_weights(files: ModelFiles, dtype: torch.dtype, trust_remote_code: bool) -> Any:
    from transformers import AutoModelForCausalLM

    with _explained(files, "The weights"):
        model, report = AutoModelForCausalLM.from_pretrained(
            files.directory,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    absent = sorted(str(key) for key in report["missing_keys"])
    if absent:
        raise InvalidInput(
            f"The weights of {files.name} lack {len(absent)} of the model's tensors, such as "
            f"{absent[0]}: config.json and the safetensors files do not belong together."
        )
    return model.eval().requires_grad_(False)


def _check_tokenizer(tokenizer: TextTokenizer, name: str, d_vocab: int) -> None:
    if tokenizer.max_text_id >= d_vocab or (tokenizer.bos_token_id or 0) >= d_vocab:
        raise InvalidInput(
            f"The tokenizer in {name} does not fit the model: it gives token ids up to "
            f"{max(tokenizer.max_text_id, tokenizer.bos_token_id or 0)}, the model knows {d_vocab} "
            f"(0 to {d_vocab - 1}). Put the tokenizer that the model was trained with beside it."
        )


def _matrix_of(module: nn.Module, d_model: int) -> Float[Tensor, "units d_model"]:
    """The matrix of a projection to the residual stream, input first.

    nn.Linear stores its output first, GPT-2's Conv1D its input.
    """
    weight = getattr(module, "weight", None)
    if weight is None or weight.dim() != 2 or d_model not in weight.shape:
        raise InvalidInput(
            f"The output of the MLP is a {type(module).__name__} without a plain weight matrix; "
            "its neurons' directions cannot be read."
        )
    matrix: Tensor = weight.T if isinstance(module, nn.Linear) else weight
    return matrix


def _attach(
    place: HookPlace,
    name: str,
    keep: Callable[[str, Callable[[Tensor], Tensor] | None, Tensor], None],
) -> Any:
    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        keep(name, place.convert, _hidden(args[0] if args else kwargs["hidden_states"]))

    def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        keep(name, place.convert, _hidden(output))

    if place.side == "input":
        return place.module.register_forward_pre_hook(before, with_kwargs=True)
    return place.module.register_forward_hook(after)


def _hidden(found: Any) -> Tensor:
    hidden: Tensor = found[0] if isinstance(found, tuple) else found
    return hidden


def _describe(
    files: ModelFiles,
    hooks: HookTable,
    tokenizer: TextTokenizer,
    hf_model: Any,
    device: torch.device,
    dtype: torch.dtype,
) -> LoadedModel:
    cfg = hooks.cfg
    bos = tokenizer.bos_token_id
    return LoadedModel(
        hf_model=hf_model,
        tokenizer=tokenizer,
        name=files.name,
        revision=files.revision,
        weights_hash=hash_weights(files),
        tokenizer_hash=tokenizer.hash,
        architecture=type(hf_model).__name__,
        n_layers=int(cfg.n_layers),
        d_model=int(cfg.d_model),
        d_mlp=int(cfg.d_mlp) if cfg.d_mlp and cfg.d_mlp > 0 else None,
        d_vocab=int(cfg.d_vocab),
        n_ctx=int(cfg.n_ctx) if cfg.n_ctx and cfg.n_ctx > 0 else None,
        n_params=sum(parameter.numel() for parameter in hf_model.parameters()),
        bos_token_id=bos,
        prepends_bos=bool(getattr(cfg, "default_prepend_bos", True)),
        details=_details(cfg, hf_model, dtype),
        device=device,
        dtype=dtype,
        hooks=hooks,
    )


def _details(cfg: Any, hf_model: Any, dtype: torch.dtype) -> dict[str, Any]:
    return {
        "act_fn": str(cfg.act_fn),
        "normalization": "RMSNorm" if getattr(cfg, "uses_rms_norm", False) else "LayerNorm",
        "n_heads": int(cfg.n_heads),
        "attention": str(hf_model.config._attn_implementation),
        "dtype": str(dtype).removeprefix("torch."),
        "logit_lens": CONVENTION,
    }
