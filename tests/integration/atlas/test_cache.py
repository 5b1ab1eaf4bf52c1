"""Local copies: whole, checked, fetched again whatever was done to them, never wrong."""

import errno
import logging
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.orm import Session

from app.atlas import cache as caching
from app.atlas.cache import Cache
from app.atlas.errors import AtlasUnusable, CacheUnavailable
from app.atlas.opened import OpenAtlas
from tests.integration.atlas.conftest import find_atlas, find_directions
from tests.integration.seed import Seeded

FILES = ["starts", "units", "levels", "lows", "highs", "floors", "firsts"]
DERIVED = ["unit_starts", "unit_positions", "unit_levels", "kind_starts", "kinds", "kind_counts"]
DERIVED.append("unit_major")


def dense(atlas: OpenAtlas) -> np.ndarray:
    """(positions, units), decoded by the codec."""
    from app import codec

    matrix = np.zeros((atlas.n_positions, atlas.n_units), np.float32)
    rows = np.repeat(np.arange(atlas.n_positions), np.diff(atlas.starts))
    for unit in range(atlas.n_units):
        scale = codec.Scale(float(atlas.lows[unit]), float(atlas.highs[unit]))
        of_unit = atlas.units == unit
        matrix[rows[of_unit], unit] = codec.decode(atlas.levels[of_unit], scale)
    return matrix


def n_fetches(session: Session) -> list[int]:
    """Counts, from now on, the pieces that are read from the database."""
    counted = [0]

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        counted[0] += "FROM atlas_pieces" in statement

    event.listen(session.connection(), "before_cursor_execute", note)
    return counted


@pytest.mark.parametrize("source", ["mlp-0", "mlp-1", "sae-1"])
def test_a_copy_is_what_is_stored(
    session: Session, seeded: Seeded, cache: Cache, source: str
) -> None:
    atlas = cache.open(session, find_atlas(session, source))
    assert (dense(atlas) == seeded.atlases["tiny-a", source, "code"]).all()
    assert atlas.units.dtype == (np.uint32 if source == "sae-1" else np.uint16)
    assert not atlas.levels.flags.writeable
    vectors = cache.open(session, find_directions(session, source)).vectors
    assert (vectors == seeded.directions["tiny-a", source]).all()


def test_a_copy_is_fetched_once_and_then_read_from_disk(session: Session, cache: Cache) -> None:
    stored = find_atlas(session, "mlp-0")
    fetched = n_fetches(session)
    opened = cache.open(session, stored)
    assert fetched[0] == 5
    assert cache.open(session, stored) is opened
    again = Cache(cache.folder, cache.limit).open(session, stored)
    assert fetched[0] == 5
    assert again is not opened and (dense(again) == dense(opened)).all()
    assert sorted(path.name for path in (cache.folder / stored.key).iterdir()) == sorted(
        FILES + DERIVED
    )


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * 8)


def flip(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 3] ^= 0x40
    path.write_bytes(whole)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [cut, empty, lengthen, flip, remove])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_copy_is_thrown_away_and_fetched_again(
    session: Session,
    cache: Cache,
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: Callable[[Path], None],
) -> None:
    stored = find_atlas(session, "mlp-0")
    whole = dense(cache.open(session, stored))
    damage(cache.folder / stored.key / name)
    with caplog.at_level(logging.WARNING, "unitscope"):
        again = Cache(cache.folder, cache.limit).open(session, stored)
    assert (dense(again) == whole).all()
    assert "Fetching again" in caplog.text
    if damage is not remove:  # that alone leaves an open map whole
        assert (dense(cache.open(session, stored)) == whole).all()
    assert not list(cache.folder.glob("*.part"))


@pytest.mark.parametrize("damage", [cut, empty, lengthen, flip, remove])
@pytest.mark.parametrize("name", DERIVED)
def test_what_is_derived_is_made_again_without_the_database(
    session: Session, cache: Cache, name: str, damage: Callable[[Path], None]
) -> None:
    stored = find_atlas(session, "sae-1")
    kept = cache.open(session, stored).kept
    assert kept is not None
    whole = [np.array(each) for each in kept]
    fetched = n_fetches(session)
    damage(cache.folder / stored.key / name)
    again = Cache(cache.folder, cache.limit)
    opened = again.open(session, stored)
    assert fetched[0] == 0
    assert opened.kept is not None
    for found, wanted in zip(opened.kept, whole, strict=True):
        assert (found == wanted).all()
    assert again.open(session, stored) is opened
    assert not list(cache.folder.glob("*.part"))


def test_a_copy_of_before_units_were_in_order_is_completed(session: Session, cache: Cache) -> None:
    stored = find_atlas(session, "mlp-0")
    whole = dense(cache.open(session, stored))
    for name in DERIVED:
        (cache.folder / stored.key / name).unlink()
    fetched = n_fetches(session)
    opened = Cache(cache.folder, cache.limit).open(session, stored)
    assert fetched[0] == 0
    for unit in range(opened.n_units):
        positions, values = opened.of_unit(unit)
        assert (positions == np.flatnonzero(whole[:, unit])).all()
        assert (values == whole[positions, unit]).all()


def test_rows_and_what_is_derived_damaged_at_once_are_fetched_again(
    session: Session, cache: Cache
) -> None:
    stored = find_atlas(session, "mlp-0")
    whole = dense(cache.open(session, stored))
    for name in ("levels", "kinds"):
        flip(cache.folder / stored.key / name)
    fetched = n_fetches(session)
    assert (dense(Cache(cache.folder, cache.limit).open(session, stored)) == whole).all()
    assert fetched[0] == 5


@pytest.mark.parametrize("damage", [cut, flip, remove])
@pytest.mark.parametrize("name", ["vectors", "firsts"])
def test_damaged_directions_are_fetched_again(
    session: Session, seeded: Seeded, cache: Cache, name: str, damage: Callable[[Path], None]
) -> None:
    stored = find_directions(session, "sae-1")
    cache.open(session, stored)
    damage(cache.folder / stored.key / name)
    again = Cache(cache.folder, cache.limit).open(session, stored)
    assert (again.vectors == seeded.directions["tiny-a", "sae-1"]).all()


def test_the_cache_may_be_deleted_while_it_is_used(session: Session, cache: Cache) -> None:
    stored = find_atlas(session, "mlp-0")
    opened = cache.open(session, stored)
    whole = dense(opened)
    shutil.rmtree(cache.folder)
    assert cache.open(session, stored) is opened
    assert (dense(opened) == whole).all()
    other = cache.open(session, find_atlas(session, "mlp-1"))
    assert other.n_positions == opened.n_positions
    assert (dense(Cache(cache.folder, cache.limit).open(session, stored)) == whole).all()


def test_threads_that_ask_at_once_share_one_copy(
    module_engine: Engine, seeded: Seeded, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetches: list[str] = []
    fetched = Cache._fetched

    def slowly(self: Cache, session: Session, stored: Any) -> Any:
        fetches.append(stored.key)
        time.sleep(0.05)
        return fetched(self, session, stored)

    monkeypatch.setattr(Cache, "_fetched", slowly)
    opened: list[OpenAtlas] = []

    def ask() -> None:
        with Session(module_engine) as session:
            opened.append(cache.open(session, find_atlas(session, "sae-1")))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fetches) == 1
    assert len({id(each) for each in opened}) == 1 and len(opened) == 8


def _open_in_process(url: str, folder: Path, barrier: Any, sums: Any) -> None:
    engine = create_engine(url)
    with Session(engine) as session:
        stored = find_atlas(session, "mlp-0")
        barrier.wait()
        sums.put(float(dense(Cache(folder, 10**9).open(session, stored)).sum()))


def test_processes_that_ask_at_once_all_get_a_whole_copy(
    module_engine: Engine, seeded: Seeded, cache: Cache
) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, sums = context.Barrier(3), context.Queue()
    url = module_engine.url.render_as_string(hide_password=False)
    asked = (url, cache.folder, barrier, sums)
    processes = [context.Process(target=_open_in_process, args=asked) for _ in range(3)]
    for process in processes:
        process.start()
    found = {sums.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert len(found) == 1
    assert not list(cache.folder.glob("*.part"))


def test_without_the_lock_two_copies_are_as_good_as_one(
    session: Session, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = find_atlas(session, "mlp-0")
    other = Cache(cache.folder, cache.limit)
    write = type(stored).write

    def overtaken(self: Any, session: Session, folder: Path) -> None:
        monkeypatch.setattr(type(stored), "write", write)
        (cache.folder / f"{stored.key}.lock").unlink()
        other.open(session, stored)
        write(self, session, folder)

    monkeypatch.setattr(type(stored), "write", overtaken)
    assert (dense(cache.open(session, stored)) == dense(other.open(session, stored))).all()
    assert not list(cache.folder.glob("*.part"))


def test_what_was_used_least_recently_makes_room(
    session: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    atlases = [find_atlas(session, source) for source in ("mlp-0", "mlp-1", "sae-1")]
    for stored in atlases[:2]:
        Cache(tmp_path, 10**9).open(session, stored)
    taken = sum(path.stat().st_size for path in tmp_path.glob("*/*"))
    cache = Cache(tmp_path, taken * 21 // 20)
    for age, stored in ((100, atlases[0]), (200, atlases[1])):
        os.utime(tmp_path / stored.key, (time.time() - age,) * 2)
    cache.open(session, atlases[2])
    there = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert there == {atlases[0].key, atlases[2].key}
    assert "too small" not in caplog.text


def test_what_makes_room_though_it_was_just_used_is_said(
    session: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    atlases = [find_atlas(session, source) for source in ("mlp-0", "mlp-1")]
    cache = Cache(tmp_path, atlases[0].n_bytes * 3 // 2)
    for stored in atlases:
        cache.open(session, stored)
    assert "too small for what is compared at once" in caplog.text


def test_one_that_is_larger_than_the_limit_is_kept_and_said(
    session: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path, 100)
    for source in ("mlp-0", "mlp-1"):
        cache.open(session, find_atlas(session, source))
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1
    assert "Set UNITSCOPE_CACHE_GB higher" in caplog.text


def test_what_a_killed_process_left_goes_after_a_while(session: Session, cache: Cache) -> None:
    old, new = cache.folder / "a-x.part", cache.folder / "b-x.part"
    for path in (old, new):
        path.mkdir(parents=True)
        (path / "units").write_bytes(b"0" * 100)
    os.utime(old, (time.time() - 2 * caching.PART_SECONDS,) * 2)
    cache.open(session, find_atlas(session, "mlp-0"))
    assert not old.exists() and new.exists()


def test_a_place_that_is_no_directory_is_named(session: Session, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(CacheUnavailable) as caught:
        Cache(tmp_path / "cache" / "atlas", 10**9).open(session, find_atlas(session, "mlp-0"))
    assert str(tmp_path / "cache" / "atlas") in caught.value.message
    assert "UNITSCOPE_DATA_DIR" in caught.value.message
    assert caught.value.status == 503


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_disk_that_takes_no_more_is_named(
    session: Session, cache: Cache, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    stored = find_atlas(session, "mlp-0")

    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(type(stored), "write", fail)
        with pytest.raises(CacheUnavailable, match=os.strerror(number)):
            cache.open(session, stored)
    assert not list(cache.folder.glob("*.part"))
    assert cache.open(session, stored).n_units == 12  # once there is room again


DAMAGES = {
    "piece 2 of 5 is missing": "DELETE FROM atlas_pieces WHERE piece = 2",
    "piece 0 of 5 is not what": "UPDATE atlas_pieces SET levels = '' WHERE piece = 0",
    "piece 3 of 5 is not what": "UPDATE atlas_pieces SET hash = 'none' WHERE piece = 3",
    "it is not what its hash says": f"UPDATE atlases SET hash = '{'ab' * 16}'",
    "its hash is '../../../etc', not 32": "UPDATE atlases SET hash = '../../../etc'",
    "its hash is '', not 32": "UPDATE atlases SET hash = ''",
    "its unit numbers have 3 bytes": "UPDATE atlases SET unit_bytes = 3",
    "units has": "UPDATE atlases SET unit_bytes = 4",
    "it has a count below 0": "UPDATE atlases SET n_entries = -1",
    "it has more than its 5 entries": "UPDATE atlases SET n_entries = 5",
    "bytes, not": "UPDATE atlases SET n_entries = n_entries * 10",
    "piece 5 of 9 is missing": "UPDATE atlases SET n_pieces = 9",
    "starts has": "UPDATE atlases SET n_pieces = 3",
    "is missing. Index": "UPDATE atlas_pieces SET first_position = 7 WHERE piece = 1",
    "lows has": "UPDATE atlases SET lows = substr(lows, 1, 5)",
    "floors has": "UPDATE atlases SET floors = ''",
    "scale is not finite": "UPDATE atlases SET highs = decode(repeat('0000c07f', 12), 'hex')",
    "or upside down": "UPDATE atlases SET highs = lows, lows = highs",
}  # fmt: skip


@pytest.mark.parametrize("words", DAMAGES)
def test_what_is_damaged_in_the_database_is_said(
    session: Session, cache: Cache, words: str
) -> None:
    session.execute(text(DAMAGES[words]))
    with pytest.raises(AtlasUnusable) as caught:
        cache.open(session, find_atlas(session, "mlp-0"))
    assert words in caught.value.message
    assert caught.value.message.startswith("The atlas of tiny-a/mlp-0 over code cannot be used")
    assert not cache.folder.exists() or not [p for p in cache.folder.iterdir() if p.is_dir()]


@pytest.mark.parametrize(
    ("unit", "words"), [(12, "it has a unit 12; units are 0 to 11"), (65535, "it has a unit 65535")]
)
def test_a_unit_out_of_range_is_found_though_every_hash_is_right(
    session: Session, cache: Cache, unit: int, words: str
) -> None:
    _rewrite_first_piece(session, "mlp-0", unit)
    with pytest.raises(AtlasUnusable, match=words):
        cache.open(session, find_atlas(session, "mlp-0"))


def test_a_unit_twice_in_a_position_is_found_though_every_hash_is_right(
    session: Session, cache: Cache
) -> None:
    _rewrite_first_piece(session, "mlp-0", None)
    with pytest.raises(AtlasUnusable, match="out of order within positions 0"):
        cache.open(session, find_atlas(session, "mlp-0"))


def _rewrite_first_piece(session: Session, source: str, unit: int | None) -> None:
    """Puts `unit`, or the one before, at the second entry, and makes all hashes fit."""
    from tests.integration.seed_atlas import hash_of

    stored: Any = find_atlas(session, source)
    key = {"scan": stored.scan_id, "source": stored.source_id}
    where = "WHERE scan_id = :scan AND source_id = :source"
    query = f"SELECT counts, units, levels, hash FROM atlas_pieces {where} ORDER BY piece"
    pieces = session.execute(text(query), key).all()
    units = np.frombuffer(pieces[0].units, "<u2").copy()
    units[1] = units[0] if unit is None else unit
    changed = hash_of(pieces[0].counts, units.tobytes(), pieces[0].levels)
    session.execute(
        text(f"UPDATE atlas_pieces SET units = :units, hash = :hash {where} AND piece = 0"),
        {**key, "units": units.tobytes(), "hash": changed},
    )
    row = session.execute(text(f"SELECT lows, highs, floors FROM atlases {where}"), key).one()
    hashes = "".join([changed, *(piece.hash for piece in pieces[1:])])
    session.execute(
        text(f"UPDATE atlases SET hash = :hash {where}"),
        {**key, "hash": hash_of(*row, hashes.encode())},
    )


def test_what_was_found_damaged_is_not_fetched_for_each_question(
    session: Session, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.execute(text("UPDATE atlas_pieces SET hash = 'none' WHERE piece = 3"))
    stored = find_atlas(session, "mlp-0")
    fetched = n_fetches(session)
    for _ in range(3):
        with pytest.raises(AtlasUnusable, match="piece 3"):
            cache.open(session, stored)
    assert fetched[0] == 4
    monkeypatch.setattr(caching, "SECONDS_BETWEEN_FETCHES", 0)
    with pytest.raises(AtlasUnusable, match="piece 3"):
        cache.open(session, stored)
    assert fetched[0] == 8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DELETE FROM directions WHERE first_unit = 0", "do not follow one another"),
        ("UPDATE directions SET first_unit = 6 WHERE first_unit = 5", "missing or cut"),
        ("UPDATE directions SET first_unit = 99 WHERE first_unit = 5", "do not follow"),
        ("UPDATE directions SET vectors = ''", "units 0 to 4 are missing or cut"),
        ("UPDATE directions SET hash = 'none'", "units 0 to 4 are not what their hash says"),
    ],
)
def test_damaged_directions_in_the_database_are_said(
    session: Session, cache: Cache, change: str, words: str
) -> None:
    session.execute(text(change))
    with pytest.raises(AtlasUnusable, match=words):
        cache.open(session, find_directions(session, "sae-1"))
