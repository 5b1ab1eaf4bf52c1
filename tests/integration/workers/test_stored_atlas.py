"""The atlas of a real scan, read back piece by piece, and what is compared by it."""

from collections.abc import Callable
from hashlib import blake2b

import numpy as np
from fastapi.testclient import TestClient
from sqlalchemy import select

from app import db
from app.codec import Scale, decode
from app.main import create_app
from app.models import Atlas, AtlasPiece, Directions, Scan, Source, UnitStats
from tests.integration.workers.test_index import Made, brute_force, corpus, indexed, request_for

D_MODEL = 32
__all__ = ["corpus", "indexed", "request_for"]


def digest(*parts: bytes) -> str:
    return blake2b(b"".join(parts), digest_size=16).hexdigest()


def dense(made: Made, slug: str) -> tuple[np.ndarray, np.ndarray]:
    """(what is stored, levels decoded, 0 elsewhere; floors) of a source; hashes must be right."""
    with db.session(made.engine) as session:
        source_id = session.scalars(select(Source.id).where(Source.slug == slug)).one()
        atlas = session.scalars(select(Atlas).where(Atlas.source_id == source_id)).one()
        query = select(AtlasPiece).where(AtlasPiece.source_id == source_id)
        pieces = session.scalars(query.order_by(AtlasPiece.piece)).all()
    lows, highs, floors = (
        np.frombuffer(part, "<f4") for part in (atlas.lows, atlas.highs, atlas.floors)
    )
    assert [piece.hash for piece in pieces] == [
        digest(piece.counts, piece.units, piece.levels) for piece in pieces
    ]
    hashes = "".join(piece.hash for piece in pieces).encode()
    assert atlas.hash == digest(atlas.lows, atlas.highs, atlas.floors, hashes)
    found = np.zeros((atlas.n_positions, len(lows)), np.float32)
    for piece in pieces:
        counts = np.frombuffer(piece.counts, "<u4")
        positions = piece.first_position + np.repeat(np.arange(len(counts)), counts)
        units = np.frombuffer(piece.units, f"<u{atlas.unit_bytes}")
        levels = np.frombuffer(piece.levels, np.uint8)
        for p, u, level in zip(positions, units, levels, strict=True):
            found[p, u] = decode(level[None], Scale(float(lows[u]), float(highs[u])))[0]
    return found, floors


def test_a_stored_atlas_is_the_models_own_activations(indexed: Callable[..., Made]) -> None:
    made = indexed()
    with db.session(made.engine) as session:
        sampled = np.frombuffer(session.scalars(select(Scan.atlas_windows)).one(), "<i4")
    for slug, windows in brute_force(made).items():
        of = {window.index: window.x[window.is_counted] for window in windows}
        x = np.concatenate([of[index] for index in sampled.tolist()])
        found, floors = dense(made, slug)
        assert found.shape == x.shape
        # The outermost levels stand for the extremes themselves: up to a step away.
        scales = [Scale(float(column.min()), float(column.max())) for column in x.T]
        step = np.array([max(s.positive_step, s.negative_step) for s in scales])
        is_kept = found != 0
        assert (np.abs(found - x)[is_kept] <= np.broadcast_to(step, x.shape)[is_kept] + 1e-5).all()
        is_clear = np.abs(np.abs(x) - floors) > 1e-4
        is_due = (np.abs(x) >= np.maximum(floors, 1e-5)) & is_clear
        assert (is_kept[is_clear] == is_due[is_clear]).all()
        if slug != "latents":
            assert (is_kept.sum(axis=0) <= max(len(x) // 8, 1)).all()


def test_directions_are_stored_at_length_one(indexed: Callable[..., Made]) -> None:
    made = indexed()
    with db.session(made.engine) as session:
        stored = session.scalars(select(Directions)).all()
        assert {row.source_id for row in stored} == set(session.scalars(select(Source.id)))
    for row in stored:
        vectors = np.frombuffer(row.vectors, "<f2").reshape(-1, D_MODEL).astype(float)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)
        assert row.hash == digest(row.vectors)


def test_bands_have_errors(indexed: Callable[..., Made]) -> None:
    made = indexed()
    with db.session(made.engine) as session:
        for row in session.scalars(select(UnitStats)):
            assert len(row.interval_share_errors) == len(row.interval_counts)
            assert len(row.interval_mass_errors) == len(row.interval_mass)


def test_similar_units_are_those_that_correlate(indexed: Callable[..., Made]) -> None:
    made = indexed()
    one, other = dense(made, "mlp-0")[0], dense(made, "latents")[0]
    of = {"mlp-0": one, "latents": other}
    of |= {slug: dense(made, slug)[0] for slug in ("mlp-1", "mlp-2")}
    client = TestClient(create_app(made.engine))
    address = f"/api/v1/models/{made.result.model_slug}/sources/mlp-0/units/3/similar"
    answer = client.get(address, params={"by": "activation", "limit": 5}).json()
    assert answer["items"]
    for item in answer["items"]:
        expected = np.corrcoef(one[:, 3], of[item["source"]][:, item["index"]])[0, 1]
        assert abs(item["value"] - expected) < 1e-4
    assert client.get(address, params={"by": "direction"}).json()["items"]
