"""Loads a scan's model and sources in a worker, and makes sure that they are the ones meant."""

from dataclasses import dataclass

from app.errors import Conflict
from workers.jobs.settings import PlannedSource, ScanRequest, ScanSettings
from workers.sources.language_models import LoadedModel, load_model
from workers.sources.unit_sources import UnitSource, neuron_source, sae_source


@dataclass(frozen=True, slots=True)
class Loaded:
    """A scan's model, and its sources in the scan's order."""

    model: LoadedModel
    sources: list[UnitSource]


def load(
    request: ScanRequest, settings: ScanSettings, device: str, *, trust_remote_code: bool
) -> Loaded:
    """What `request` names, by this worker's own path to it.

    Raises NotFound where it is not on this machine (it may be on another's), Conflict where it is
    something else by now.
    """
    model = load_model(
        request.model,
        revision=request.revision,
        device=device,
        dtype=settings.dtype,
        trust_remote_code=request.needs_remote_code and trust_remote_code,
        control=request.control,
    )
    _check(f"The model {request.model}", model.weights_hash, request.weights_hash)
    _check(f"The tokenizer of {request.model}", model.tokenizer_hash, request.tokenizer_hash)
    return Loaded(model, [_source(model, planned) for planned in request.sources])


def _source(model: LoadedModel, planned: PlannedSource) -> UnitSource:
    if planned.spec is None:
        return neuron_source(model, planned.layer)
    source = sae_source(planned.spec, model, planned.slug)
    _check(f"The SAE {planned.spec}", source.weights_hash, planned.weights_hash)
    return source


def _check(what: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise Conflict(
            f"{what} has changed since the scan was asked for (its hash is {found[:12]}…, not "
            f"{wanted[:12]}…). Run `unitscope index` again for what is there now."
        )
