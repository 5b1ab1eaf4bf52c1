"""The seeder's figures: every one computed from the activations by plain NumPy."""

import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from app import codec

N_TOP, N_RANDOM = 8, 4


class Window(Protocol):
    """What of a window matters here; position 0 is the BOS, which counts nowhere."""

    token_ids: list[int]
    is_duplicate: bool


def edges_of(values: np.ndarray) -> np.ndarray:
    """Bands: all positions <= 0, then the positive ones cut at quantiles."""
    positive = values[values > 0]
    cuts = np.quantile(positive, [0, 0.5, 0.95, 1]) if len(positive) else np.empty(0)
    low = [values.min()] if (values <= 0).any() else []
    if not len(cuts):
        low = [values.min(), values.max()]
    return np.unique(np.concatenate([low, cuts]).astype(np.float32))


def _bands(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))


def figures(values: np.ndarray, ids: np.ndarray, is_sampled: np.ndarray) -> dict[str, Any]:
    """A row of unit_stats: exact over `values`; what is of the atlas, where `is_sampled`."""
    exact = values.astype(np.float64)
    std = exact.std()
    return {
        "n_tokens": len(values),
        "n_active": int((values > 0).sum()),
        "density": float((values > 0).mean()),
        "max": float(values.max()),
        "min": float(values.min()),
        "mean": float(exact.mean()),
        "std": float(std),
        "skewness": float(((exact - exact.mean()) ** 3).mean() / std**3) if std else None,
        "kurtosis": float(((exact - exact.mean()) ** 4).mean() / std**4 - 3) if std else None,
        **_atlas_figures(values[is_sampled], ids[is_sampled]),
        **({} if is_sampled.all() else _errors(len(edges_of(values[is_sampled])) - 1)),
    }


def _errors(n_bands: int) -> dict[str, Any]:
    """No figures of anything: what is shown of them is what is tested."""
    return {
        "interval_share_errors": [0.004 + 0.001 * i for i in range(max(n_bands, 1))],
        "interval_mass_errors": [0.02 + 0.001 * i for i in range(max(n_bands, 1))],
    }


def _atlas_figures(values: np.ndarray, ids: np.ndarray) -> dict[str, Any]:
    exact = values.astype(np.float64)
    edges = edges_of(values)
    edges = edges if len(edges) > 1 else np.array([edges[0], edges[0]])
    bands = _bands(values, edges)
    n_bands = len(edges) - 1
    nonzero = values[values != 0]
    bins = np.unique(np.concatenate([np.linspace(values.min(), values.max(), 9), [0]]))
    bins = bins if len(bins) > 1 else np.array([0.0, 1.0])
    positive = np.maximum(exact, 0)
    sums = np.bincount(ids, weights=positive)
    best = [i for i in np.argsort(-sums, kind="stable")[:10].tolist() if sums[i] > 0]
    return {
        "n_zero": int((values == 0).sum()),
        "histogram_edges": bins.tolist(),
        "histogram_counts": np.histogram(nonzero, bins)[0].tolist(),
        "interval_edges": edges.tolist(),
        "interval_counts": np.bincount(bands, minlength=n_bands).tolist(),
        "interval_mass": np.bincount(bands, np.abs(exact), minlength=n_bands).tolist(),
        "token_ids": best,
        "token_sums": sums[best].tolist(),
        "token_n_active": [int(((ids == i) & (values > 0)).sum()) for i in best],
        "token_n": [int((ids == i).sum()) for i in best],
        "atlas_sum": float(positive.sum()),
    }


def examples(
    kind: str,
    windows: Sequence[Window],
    values: np.ndarray,
    edges: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, Any] | None:
    """A row of examples, or None where there is none of the kind."""
    bounds = np.cumsum([0, *(len(window.token_ids) - 1 for window in windows)])
    runs = [values[low:high] for low, high in pairwise(bounds)]
    known = [i for i, window in enumerate(windows) if not window.is_duplicate]
    if kind == "top":
        known = [i for i in known if runs[i].max() > 0]
        chosen = sorted((-runs[i].max(), i, int(runs[i].argmax())) for i in known)[:N_TOP]
    elif kind == "bottom":
        known = [i for i in known if runs[i].min() < 0]
        chosen = sorted((runs[i].min(), i, int(runs[i].argmin())) for i in known)[:N_TOP]
    else:
        if kind == "active":
            known = [i for i in known if runs[i].max() > 0]
        drawn = rng.choice(known, size=min(N_RANDOM, len(known)), replace=False).tolist()
        chosen = [(0.0, i, int(runs[i].argmax())) for i in drawn]
        chosen.sort(key=lambda each: -runs[each[1]][each[2]])
    if not chosen:
        return None
    shown = [i for _, i, _ in chosen]
    at = [pos for _, _, pos in chosen]
    exact = [float(runs[i][pos]) for i, pos in zip(shown, at, strict=True)]
    is_sampled = kind in ("interval", "random")
    return {
        "windows": shown,
        "positions": [pos + 1 for pos in at],  # behind the BOS
        "values": exact,
        "max_positions": [int(runs[i].argmax()) + 1 for i in shown],
        "lows": [float(runs[i].min()) for i in shown],
        "highs": [float(runs[i].max()) for i in shown],
        "intervals": _bands(np.array(exact, dtype=np.float32), edges).tolist()
        if is_sampled
        else [],
        "levels": zlib.compress(b"".join(_levels(runs[i]) for i in shown)),
    }


def _levels(run: np.ndarray) -> bytes:
    scale = codec.Scale(float(run.min()), float(run.max()))
    return bytes([scale.zero]) + codec.encode(run, scale).tobytes()
