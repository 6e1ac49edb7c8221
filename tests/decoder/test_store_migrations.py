"""Stores of every release open, and become current ones in whole steps."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.decoder.store_frames import GOLDEN, NOW_NS, ask, change, frame, until
from ugicm_decoder.errors import StoreUnusable
from ugicm_decoder.store import (
    Event,
    Frame,
    FrameQuery,
    FrameRecord,
    Gap,
    PutOutcome,
    SqliteFrameStore,
    StoreLimits,
    connections,
)
from ugicm_decoder.store.schema import SCHEMA
from ugicm_servicekit.sqlite import space

STORES = Path(__file__).parent / "stores"
FRAMES = [thing for thing in GOLDEN if isinstance(thing, Frame)]
(GAP,) = (thing for thing in GOLDEN if isinstance(thing, Gap))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "frames.sqlite"


@pytest.mark.parametrize("golden", sorted(STORES.glob("*.sqlite")), ids=lambda path: path.stem)
async def test_a_store_of_every_release_opens_with_all_it_held(golden: Path, path: Path) -> None:
    shutil.copy(golden, path)
    store = await SqliteFrameStore.open(path)
    assert store.id.hex() == "68e19808a9c10aae"
    assert [await store.get(put.key) for put in FRAMES] == FRAMES
    assert (await store.events(0, cameras=[], limit=100)).items == [
        Event(
            position,
            thing
            if isinstance(thing, Gap)
            else FrameRecord(thing.key, thing.captured_ns, NOW_NS + position - 1, thing.info),
        )
        for position, thing in enumerate(GOLDEN, start=1)
    ]
    assert [await store.put(again) for again in FRAMES] == [PutOutcome.DUPLICATE] * len(FRAMES)
    assert await store.put_gap(GAP) is PutOutcome.DUPLICATE
    newest = await store.newest_frames(0, cameras=[])
    assert [event.position for event in newest.items] == [7, 8]
    assert await store.put(frame(sequence=10)) is PutOutcome.STORED
    assert store.newest_position == len(GOLDEN) + 1
    await store.close()
    assert ask(path, "PRAGMA user_version") == SCHEMA.version


@pytest.mark.parametrize("golden", sorted(STORES.glob("*.sqlite")), ids=lambda path: path.stem)
async def test_what_a_store_of_every_release_held_goes_in_the_order_of_its_storing(
    golden: Path, path: Path
) -> None:
    shutil.copy(golden, path)
    frames = [position for position, thing in enumerate(GOLDEN, 1) if isinstance(thing, Frame)]
    store = await SqliteFrameStore.open(
        path,
        StoreLimits(retention_camera_bytes=5120 + 10),
        clock_ns=lambda: NOW_NS,
        monotonic=lambda: 0.0,
    )
    early = frame(sequence=0, epoch=0, stream=b"early")
    assert await store.put(early) is PutOutcome.STORED

    async def is_so() -> bool:
        records = await store.frames(FrameQuery("gate"), after=None, limit=100)
        return [record.key for record in records] == [early.key, frame(sequence=9).key]

    await until(is_so)
    await store.close()
    # All were stored within one second, the last of them that is written down is the newest.
    assert ask(path, "SELECT max(position) FROM arrival") == frames[-1] + 1


async def test_a_migrated_store_can_give_space_back_as_a_new_one_can(path: Path) -> None:
    shutil.copy(STORES / "v1.sqlite", path)
    assert ask(path, "PRAGMA auto_vacuum") == 0
    await (await SqliteFrameStore.open(path)).close()
    assert ask(path, "PRAGMA auto_vacuum") == space._INCREMENTAL
    assert ask(path, "PRAGMA integrity_check") == "ok"


async def test_a_disk_too_full_to_rewrite_a_store_leaves_it_as_large_and_usable(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(STORES / "v1.sqlite", path)
    full = shutil._ntuple_diskusage(10**6, 10**6 - 1000, 1000)
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: full)
    store = await SqliteFrameStore.open(path, disk_free=lambda _: 10**9)
    assert await store.put(frame(sequence=10)) is PutOutcome.STORED
    await store.close()
    assert "it takes 110592 bytes, 1000 are free" in caplog.text
    assert ask(path, "PRAGMA auto_vacuum") == 0


async def test_a_store_of_a_newer_version_is_refused_in_one_line(path: Path) -> None:
    await (await SqliteFrameStore.open(path)).close()
    change(path, "PRAGMA user_version = 1000")
    with pytest.raises(StoreUnusable, match="up to version 3, got 1000") as caught:
        await SqliteFrameStore.open(path)
    assert "\n" not in str(caught.value)


async def test_a_further_migration_keeps_the_frames(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await SqliteFrameStore.open(path)
    await old.put(frame())
    await old.close()
    before = SCHEMA.version
    further = ("ALTER TABLE camera ADD COLUMN note TEXT",)
    migrations = (*SCHEMA.migrations, further)
    monkeypatch.setattr(connections, "SCHEMA", replace(SCHEMA, migrations=migrations))
    new = await SqliteFrameStore.open(path)
    assert await new.get(frame().key) == frame()
    await new.close()
    assert ask(path, "PRAGMA user_version") == before + 1


@pytest.mark.parametrize("step", range(SCHEMA.version + 1))
async def test_a_migration_that_fails_leaves_the_file_at_the_version_before(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    broken = ("CREATE TABLE half (done)", "ALTER TABLE nothing ADD COLUMN note TEXT")
    with monkeypatch.context() as patch:
        migrations = (*SCHEMA.migrations[:step], broken)
        patch.setattr(connections, "SCHEMA", replace(SCHEMA, migrations=migrations))
        with pytest.raises(StoreUnusable, match="nothing"):
            await SqliteFrameStore.open(path)
    assert ask(path, "PRAGMA user_version") == step
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchone() is None
    store = await SqliteFrameStore.open(path)
    assert await store.frames(FrameQuery("gate"), after=None, limit=1) == []
    await store.close()
