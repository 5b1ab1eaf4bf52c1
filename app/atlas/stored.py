"""Atlases and directions as PostgreSQL holds them: copying them to files, and opening the files.

`write` copies piece by piece, so that memory holds one piece. `read` maps the files and checks
them from end to end: sizes, order, every unit's number, the hash of each piece and of the whole,
which is the copy's name. So a copy that was cut, altered or half written is told apart from a good
one, and so is a database whose pieces contradict each other. Beside an atlas lies the same by units
(app.atlas.unit_major), made from the rows once they are checked. Cost: reading takes about 1 s a
gigabyte, writing 5.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Int64
from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from app.atlas import unit_major
from app.atlas.errors import Damaged
from app.atlas.files import digest, mapped
from app.atlas.opened import BLOCK, OpenAtlas, OpenDirections
from app.models import Atlas, AtlasPiece, Directions

Opened = TypeVar("Opened")


class Stored(ABC, Generic[Opened]):
    """Something in the database that is copied to a folder of files, named by `key`.

    name  what it is, in words, for messages
    """

    key: str
    name: str

    @property
    @abstractmethod
    def n_bytes(self) -> int:
        """About what the copy takes."""

    @abstractmethod
    def write(self, session: Session, folder: Path) -> None:
        """Copies it to files in `folder`. Raises Damaged, and OSError as files do."""

    @abstractmethod
    def read(self, folder: Path, is_derived: bool = True) -> Opened:
        """Maps the files and checks them. Raises Damaged, and OSError where one is not there.

        is_derived  whether what is made from them is to be there: Underived where it is not sound.
                    If not, it is made now.
        """


@dataclass(frozen=True)
class StoredAtlas(Stored[OpenAtlas]):
    """The row of an atlas, but for its arrays."""

    name: str
    key: str
    scan_id: int
    source_id: int
    n_units: int
    n_positions: int
    n_entries: int
    n_pieces: int
    unit_bytes: int

    @property
    def n_bytes(self) -> int:
        rows = self.n_entries * (1 + self.unit_bytes) + self.n_positions * 8 + self.n_units * 12
        return rows + unit_major.n_bytes(self.n_units, self.n_entries)

    def write(self, session: Session, folder: Path) -> None:
        self._check_row()
        columns = (Atlas.lows, Atlas.highs, Atlas.floors)
        row = session.execute(
            select(*columns).where(Atlas.scan_id == self.scan_id, Atlas.source_id == self.source_id)
        ).one_or_none()
        if row is None:
            raise Damaged("it is no longer there")
        for name in ("lows", "highs", "floors"):
            (folder / name).write_bytes(getattr(row, name))
        self._write_pieces(session, folder)

    def _check_row(self) -> None:
        if self.unit_bytes not in (2, 4):
            raise Damaged(f"its unit numbers have {self.unit_bytes} bytes, not 2 or 4")
        if min(self.n_positions, self.n_entries, self.n_pieces) < 0:
            raise Damaged("it has a count below 0")

    def _write_pieces(self, session: Session, folder: Path) -> None:
        n_positions = n_entries = 0
        firsts = [0]
        with (
            (folder / "starts").open("wb") as starts,
            (folder / "units").open("wb") as units,
            (folder / "levels").open("wb") as levels,
        ):
            starts.write(np.zeros(1, "<i8").tobytes())
            for row in self._pieces(session):
                counts = np.frombuffer(row.counts, "<u4")
                if row.first_position != n_positions:
                    raise Damaged(f"position {n_positions} is missing")
                starts.write((n_entries + np.cumsum(counts, dtype="<i8")).tobytes())
                units.write(row.units)
                levels.write(row.levels)
                n_positions, n_entries = n_positions + len(counts), n_entries + int(counts.sum())
                firsts.append(n_positions)
                if n_entries > self.n_entries or n_positions > self.n_positions:
                    raise Damaged(f"it has more than its {self.n_entries} entries")
        (folder / "firsts").write_bytes(np.array(firsts, "<i8").tobytes())

    def _pieces(self, session: Session) -> Iterator[Row[int, bytes, bytes, bytes, str]]:
        query = select(
            AtlasPiece.first_position,
            AtlasPiece.counts,
            AtlasPiece.units,
            AtlasPiece.levels,
            AtlasPiece.hash,
        ).where(AtlasPiece.scan_id == self.scan_id, AtlasPiece.source_id == self.source_id)
        for piece in range(self.n_pieces):
            row = session.execute(query.where(AtlasPiece.piece == piece)).one_or_none()
            if row is None:
                raise Damaged(f"piece {piece} of {self.n_pieces} is missing")
            if len(row.counts) % 4 or digest(row.counts, row.units, row.levels) != row.hash:
                raise Damaged(f"piece {piece} of {self.n_pieces} is not what its hash says")
            yield row

    def read(self, folder: Path, is_derived: bool = True) -> OpenAtlas:
        opened = OpenAtlas(
            self.key,
            mapped(folder / "starts", "<i8", self.n_positions + 1),
            mapped(folder / "units", f"<u{self.unit_bytes}", self.n_entries),
            mapped(folder / "levels", "u1", self.n_entries),
            *(mapped(folder / name, "<f4", self.n_units) for name in ("lows", "highs", "floors")),
        )
        firsts = np.array(mapped(folder / "firsts", "<i8", self.n_pieces + 1))
        _check_bounds(firsts, self.n_positions, "pieces")
        _check_bounds(opened.starts, self.n_entries, "positions")
        _check_scales(opened)
        hashes = "".join(_piece_hash(opened, *bounds) for bounds in pairwise(firsts.tolist()))
        if digest(opened.lows, opened.highs, opened.floors, hashes.encode()) != self.key:
            raise Damaged("it is not what its hash says")
        if not is_derived:
            unit_major.write(
                folder, self.key, opened.starts, opened.units, opened.levels, self.n_units
            )
        kept = unit_major.read(folder, self.key, self.n_units, self.n_entries)
        return replace(opened, kept=kept)


@dataclass(frozen=True)
class StoredDirections(Stored[OpenDirections]):
    """A source's runs of directions: the first unit and the hash of each, in order."""

    name: str
    source_id: int
    n_units: int
    d_model: int
    runs: tuple[tuple[int, str], ...]

    @property
    def key(self) -> str:  # type: ignore[override]
        """The hash of what the runs are, since the database keeps none for all of them."""
        return _key_of_runs(self.n_units, self.d_model, self.runs)

    @property
    def n_bytes(self) -> int:
        return self.n_units * self.d_model * 2

    def write(self, session: Session, folder: Path) -> None:
        bounds = [*(first for first, _ in self.runs), self.n_units]
        if bounds[0] != 0 or any(low >= high for low, high in pairwise(bounds)):
            raise Damaged("its runs do not follow one another")
        with (folder / "vectors").open("wb") as file:
            for low, high in pairwise(bounds):
                file.write(self._run(session, low, high))
        (folder / "firsts").write_bytes(np.array(bounds, "<i8").tobytes())

    def _run(self, session: Session, low: int, high: int) -> bytes:
        row = session.execute(
            select(Directions.vectors, Directions.hash).where(
                Directions.source_id == self.source_id, Directions.first_unit == low
            )
        ).one_or_none()
        if row is None or len(row.vectors) != (high - low) * self.d_model * 2:
            raise Damaged(f"those of units {low} to {high - 1} are missing or cut")
        if digest(row.vectors) != row.hash:
            raise Damaged(f"those of units {low} to {high - 1} are not what their hash says")
        return bytes(row.vectors)

    def read(self, folder: Path, is_derived: bool = True) -> OpenDirections:
        flat = mapped(folder / "vectors", "<f2", self.n_units * self.d_model)
        vectors = flat.reshape(self.n_units, self.d_model)
        firsts = np.array(mapped(folder / "firsts", "<i8", len(self.runs) + 1))
        _check_bounds(firsts, self.n_units, "runs")
        bounds = list(pairwise(firsts.tolist()))
        runs = tuple((low, digest(vectors[low:high])) for low, high in bounds)
        if _key_of_runs(self.n_units, self.d_model, runs) != self.key:
            raise Damaged("they are not what their hash says")
        for at in range(0, self.n_units, BLOCK):
            if not np.isfinite(vectors[at : at + BLOCK]).all():
                raise Damaged(f"one from unit {at} on is not finite")
        return OpenDirections(self.key, vectors)


def _key_of_runs(n_units: int, d_model: int, runs: tuple[tuple[int, str], ...]) -> str:
    listed = ",".join(f"{first}:{run_hash}" for first, run_hash in runs)
    return digest(f"directions {n_units} {d_model} {listed}".encode())


def _check_bounds(bounds: Int64[np.ndarray, " n"], end: int, of: str) -> None:
    if bounds[0] != 0 or bounds[-1] != end or (np.diff(bounds) < 0).any():
        raise Damaged(f"the counts of its {of} do not add up")


def _check_scales(opened: OpenAtlas) -> None:
    lows, highs = opened.lows, opened.highs
    if not (np.isfinite(lows) & np.isfinite(highs) & (lows <= highs)).all():
        raise Damaged("a unit's scale is not finite, or upside down")


def _piece_hash(opened: OpenAtlas, low: int, high: int) -> str:
    """The hash of the positions [low, high). Raises Damaged for a unit that cannot be there."""
    counts = np.diff(opened.starts[low : high + 1])
    begin, end = int(opened.starts[low]), int(opened.starts[high])
    units = opened.units[begin:end]
    if len(units) and int(units.max()) >= opened.n_units:
        raise Damaged(f"it has a unit {int(units.max())}; units are 0 to {opened.n_units - 1}")
    ascends = units[1:] > units[:-1]
    inner = np.cumsum(counts)[:-1]
    ascends[inner[(inner > 0) & (inner < len(units))] - 1] = True
    if not ascends.all():
        raise Damaged(f"units are out of order within positions {low} to {high - 1}")
    return digest(counts.astype("<u4"), units, opened.levels[begin:end])
