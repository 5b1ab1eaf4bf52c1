"""Atlases and directions for the seeder, written from their contract alone (app/models/atlases.py).

Every atlas is in several pieces of unequal length, one of them without any entry. Neurons have
floors, latents none. What is stored is returned densified, so that tests can hold answers against
plain NumPy on it.
"""

from hashlib import blake2b
from itertools import pairwise

import numpy as np
from sqlalchemy.orm import Session

from app import codec
from app.models import Atlas, AtlasPiece, Directions, Scan, Source

UNIT_BYTES = {"neuron": 2, "sae_latent": 4}
SHARE_BELOW_FLOOR = 0.4


def hash_of(*parts: bytes) -> str:
    """BLAKE2b, 16 bytes, in hexadecimal."""
    return blake2b(b"".join(parts), digest_size=16).hexdigest()


def store_atlas(session: Session, scan: Scan, source: Source, values: np.ndarray) -> np.ndarray:
    """Stores the activations `values` (positions, units); returns them as they can be read."""
    n_positions, n_units = values.shape
    scales = [codec.Scale(float(x.min()), float(x.max())) for x in values.T]
    levels = np.stack([codec.encode(x, s) for x, s in zip(values.T, scales, strict=True)], axis=1)
    floors = np.zeros(n_units, "<f4")
    if source.kind == "neuron":
        floors = np.quantile(np.abs(values), SHARE_BELOW_FLOOR, axis=0).astype("<f4")
    is_kept = (np.abs(values) >= floors) & (values != 0)
    cuts = sorted({0, n_positions // 3, n_positions // 3 + 1, n_positions // 2, n_positions})
    pieces = [_piece(levels[a:b], is_kept[a:b], source) for a, b in pairwise([*cuts, cuts[-1]])]
    lows = np.array([scale.low for scale in scales], "<f4").tobytes()
    highs = np.array([scale.high for scale in scales], "<f4").tobytes()
    hashes = [hash_of(*piece) for piece in pieces]
    session.add(
        Atlas(
            scan_id=scan.id,
            source_id=source.id,
            n_positions=n_positions,
            n_entries=int(is_kept.sum()),
            n_pieces=len(pieces),
            unit_bytes=UNIT_BYTES[source.kind],
            lows=lows,
            highs=highs,
            floors=floors.tobytes(),
            hash=hash_of(lows, highs, floors.tobytes(), "".join(hashes).encode()),
        )
    )
    session.add_all(
        AtlasPiece(
            scan_id=scan.id,
            source_id=source.id,
            piece=i,
            first_position=cuts[i],
            counts=counts,
            units=units,
            levels=kept,
            hash=hashes[i],
        )
        for i, (counts, units, kept) in enumerate(pieces)
    )
    dense = np.stack([codec.decode(x, s) for x, s in zip(levels.T, scales, strict=True)], axis=1)
    return np.where(is_kept, dense, np.float32(0))


def _piece(levels: np.ndarray, is_kept: np.ndarray, source: Source) -> tuple[bytes, bytes, bytes]:
    _, units = np.nonzero(is_kept)
    return (
        is_kept.sum(1).astype("<u4").tobytes(),
        units.astype(f"<u{UNIT_BYTES[source.kind]}").tobytes(),
        levels[is_kept].tobytes(),
    )


def store_directions(
    session: Session, source: Source, d_model: int, rng: np.random.Generator
) -> np.ndarray:
    """Random directions in two runs, that of unit 3 of length 0; returns them as float16."""
    vectors = rng.normal(size=(source.n_units, d_model))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[3] = 0
    stored = vectors.astype("<f2")
    for low, high in ((0, 5), (5, source.n_units)):
        run = stored[low:high].tobytes()
        session.add(Directions(source_id=source.id, first_unit=low, vectors=run, hash=hash_of(run)))
    return stored
