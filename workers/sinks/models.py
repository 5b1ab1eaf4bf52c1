"""Rows of language models and of their sources: found by hash, or made."""

from collections.abc import Sequence

import torch
from sqlalchemy import ColumnElement, delete, exists, select, text
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput
from app.models import (
    Directions,
    Explanation,
    Hypothesis,
    LanguageModel,
    Scan,
    ScanSource,
    Shard,
    Source,
    Tokenizer,
    Unit,
)
from app.slugs import MAX_LENGTH, RESERVED, is_slug, slugify
from workers.kernels.logit_lens import LogitLens, logit_lens
from workers.sinks.directions import write_directions
from workers.sinks.scans import write_units
from workers.sources.language_models import LoadedModel
from workers.sources.unit_sources import UnitSource

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('unitscope.language_models'))")


def find_model(session: Session, model: LoadedModel) -> LanguageModel | None:
    """The row of the model with these weights and this tokenizer."""
    query = (
        select(LanguageModel)
        .join(Tokenizer, Tokenizer.id == LanguageModel.tokenizer_id)
        .where(
            LanguageModel.weights_hash == model.weights_hash,
            Tokenizer.hash == model.tokenizer_hash,
        )
        .order_by(LanguageModel.id)
        .limit(1)
    )
    return session.scalar(query)


def choose_slug(session: Session, model: LoadedModel, asked: str | None) -> str:
    """The slug of a model that has no row yet.

    Raises InvalidInput for a name that cannot be an address, Conflict for one that belongs to
    another model; a name that nobody asked for gives way instead (`gpt2-2`).
    """
    if asked is not None:
        _check_slug(asked)
    wanted = asked or _control_slug(session, model) or slugify(model.name, fallback="model")
    near = LanguageModel.slug.startswith(wanted, autoescape=True)
    taken = set(session.scalars(select(LanguageModel.slug).where(near, _is_used())))
    if asked is not None and asked in taken:
        raise Conflict(
            f"The name {asked!r} belongs to a model with other weights or another tokenizer. "
            "Pass another --name."
        )
    slug, number = wanted, 1
    while slug in taken:
        number += 1
        slug = f"{wanted}-{number}"
    return slug


def _control_slug(session: Session, model: LoadedModel) -> str | None:
    """A control is called after the model that it is a control of, where that is stored."""
    query = select(LanguageModel.slug).where(
        LanguageModel.weights_hash == model.details.get("control_of"), _is_used()
    )
    real = session.scalars(query.order_by(LanguageModel.id).limit(1)).one_or_none()
    return real and slugify(f"{real}-{model.details['control']}", fallback="model")


def over(session: Session, weights_hash: str, corpus_id: int) -> str | None:
    """The slug of a model of these weights that was scanned over the corpus, or is to be."""
    query = (
        select(LanguageModel.slug)
        .join(Scan, Scan.language_model_id == LanguageModel.id)
        .where(
            LanguageModel.weights_hash == weights_hash,
            Scan.corpus_id == corpus_id,
            Scan.status.in_(("queued", "running", "complete")),
        )
    )
    return session.scalars(query.limit(1)).one_or_none()


def _check_slug(slug: str) -> None:
    if is_slug(slug) and slug not in RESERVED:
        return
    near = slugify(slug, fallback="my-model")
    raise InvalidInput(
        f"--name {slug!r} cannot be an address: wanted small letters, digits, dots, dashes and "
        f"underscores, at most {MAX_LENGTH}, and none of {', '.join(sorted(RESERVED))}; for "
        f"example {near!r}."
    )


def store_model(
    session: Session, model: LoadedModel, tokenizer_id: int, slug: str | None
) -> LanguageModel:
    """The model's row, made unless it is there; one process at a time, until it commits."""
    session.execute(_LOCK)
    found = find_model(session, model)
    if found is not None:
        return found
    names = ("name", "revision", "weights_hash", "architecture", "n_layers", "d_model", "d_mlp")
    more = ("d_vocab", "n_ctx", "n_params", "details")
    chosen = choose_slug(session, model, slug)
    session.execute(delete(LanguageModel).where(LanguageModel.slug == chosen, ~_is_used()))
    row = LanguageModel(
        slug=chosen,
        tokenizer_id=tokenizer_id,
        **{name: getattr(model, name) for name in (*names, *more)},
    )
    session.add(row)
    session.flush()
    return row


def drop_unused_sources(session: Session, model_id: int) -> None:
    """Drops a model's sources that no scan has completed, none that goes on needs, and of which
    nobody has said anything."""
    scans = select(Scan).where(Scan.language_model_id == model_id, _has_shards())
    needed = {slug for scan in session.scalars(scans) for slug in scan.settings["sources"]}
    is_scanned = exists().where(ScanSource.source_id == Source.id)
    session.execute(
        delete(Source).where(
            Source.language_model_id == model_id,
            ~is_scanned,
            ~_has_notes(),
            Source.slug.not_in(needed),
        )
    )


def _is_used() -> ColumnElement[bool]:
    """Whether the query's `LanguageModel` has results, or a scan that may still give some.

    One that has neither is there for its failed scans' sake; it gives its name to who wants it.
    """
    of_model = Source.language_model_id == LanguageModel.id
    is_scanned = exists().where(of_model, ScanSource.source_id == Source.id)
    has_notes = exists().where(of_model, _has_notes())
    goes_on = exists().where(Scan.language_model_id == LanguageModel.id, _has_shards())
    return is_scanned | has_notes | goes_on


def _has_notes() -> ColumnElement[bool]:
    """Whether people said something of the query's `Source`, which a rescan is to leave."""
    explained = exists().where(Explanation.source_id == Source.id)
    return explained | exists().where(Hypothesis.source_id == Source.id)


def _has_shards() -> ColumnElement[bool]:
    return exists().where(Shard.scan_id == Scan.id)


def check_sources(session: Session, model_id: int, sources: Sequence[UnitSource]) -> None:
    """Raises Conflict where a source's slug belongs to other weights of the same model."""
    rows = {row.slug: row for row in _sources_of(session, model_id)}
    for source in sources:
        row = rows.get(source.slug)
        if row is not None and not _is_same(row, source):
            raise Conflict(
                f"The model already has a source {source.slug!r}, which is another one: read at "
                f"{row.hook_point}, {row.n_units} units, or with other weights. Pass another "
                "--sae-name."
            )


def store_source(session: Session, language_model_id: int, source: UnitSource) -> int:
    """The id of the source's row, made unless it is there; `store_units` fills it.

    Scans of one model over several corpora may be begun at once: each waits here for the one before
    to commit, and then finds its sources. Raises Conflict where that one gave the slug to others.
    """
    lock = text("SELECT pg_advisory_xact_lock(hashtext('unitscope.sources'), :model_id)")
    session.execute(lock, {"model_id": language_model_id})
    check_sources(session, language_model_id, [source])
    for row in _sources_of(session, language_model_id):
        if row.slug == source.slug:
            return row.id
    names = ("slug", "kind", "hook_point", "hook_point_out", "layer", "n_units", "weights_hash")
    row = Source(
        language_model_id=language_model_id,
        details=source.details,
        **{name: getattr(source, name) for name in names},
    )
    session.add(row)
    session.flush()
    return row.id


def store_units(session: Session, source_id: int, model: LoadedModel, source: UnitSource) -> None:
    """Fills a source with its units' logit lens and directions, whichever is not there.

    A source that was stored before directions were kept has units alone.
    """
    session.get_one(Source, source_id, with_for_update={"key_share": True})
    connection = session.connection()
    if not session.scalar(select(exists().where(Unit.source_id == source_id))):
        write_units(connection, source_id, _lens(model, source))
    if not session.scalar(select(exists().where(Directions.source_id == source_id))):
        write_directions(connection, source_id, source.output_directions().numpy())


def _lens(model: LoadedModel, source: UnitSource) -> LogitLens:
    """Raises InvalidInput for a NaN or infinity: the scan reads no weights beyond its sources."""
    final = model.unembedding()
    lens = logit_lens(
        source.output_directions(), final.norm_weight, final.W_U, is_centred=final.is_centred
    )
    is_good = (lens.promoted_values + lens.suppressed_values).isfinite().all(dim=1)
    if not is_good.all():
        unit = int(torch.nonzero(~is_good)[0, 0])
        raise InvalidInput(
            f"Source {source.slug}: the logit lens of unit {unit} is NaN or infinite. The weights "
            f"that it writes by, or the final norm or unembedding of {model.name}, are broken."
        )
    return lens


def _sources_of(session: Session, model_id: int) -> list[Source]:
    return list(session.scalars(select(Source).where(Source.language_model_id == model_id)))


def _is_same(row: Source, source: UnitSource) -> bool:
    names = ("kind", "hook_point", "hook_point_out", "n_units", "weights_hash")
    return all(getattr(row, name) == getattr(source, name) for name in names)
