"""Group commit: what arrives together shares a transaction, and nobody's trouble is another's."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.decoder.store_frames import ask, frame
from ugicm_decoder.errors import FrameConflict, StoreFailed, StoreFull
from ugicm_decoder.store import (
    FrameQuery,
    FrameRecord,
    Gap,
    GapReason,
    PutOutcome,
    SqliteFrameStore,
    StoreLimits,
)
from ugicm_servicekit.sqlite import GroupCommit

AT_ONCE = StoreLimits(retry_seconds=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "frames.sqlite"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteFrameStore]:
    store = await SqliteFrameStore.open(path, AT_ONCE)
    yield store
    await store.close()


@contextmanager
def no_file_larger_than(num_bytes: int) -> Iterator[None]:
    """Let the system refuse writes beyond, as a failing disk does: with an I/O error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def put_all(store: SqliteFrameStore, *frames: object) -> list[object]:
    return await asyncio.gather(*map(store.put, frames), return_exceptions=True)


async def listed(store: SqliteFrameStore) -> list[int]:
    records = await store.frames(FrameQuery("gate"), after=None, limit=1000)
    return [record.key.sequence for record in records]


async def test_frames_of_all_cameras_that_come_together_share_few_commits(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = []
    commit = GroupCommit._commit

    def counted(self, writes):
        groups.append(len(writes))
        return commit(self, writes)

    monkeypatch.setattr(GroupCommit, "_commit", counted)
    store = await SqliteFrameStore.open(path)
    frames = [frame(camera, n) for n in range(200) for camera in ("gate", "yard")]
    assert set(await put_all(store, *frames)) == {PutOutcome.STORED}
    await store.close()
    assert sum(groups) == 400
    assert len(groups) <= 40
    assert max(groups) <= 256


async def test_frames_are_stored_in_the_order_they_came(store: SqliteFrameStore) -> None:
    order = [(n * 37) % 100 for n in range(100)]
    await put_all(store, *(frame(sequence=n) for n in order))
    events = await store.events(0, cameras=[], limit=1000)
    stored = [
        event.what.key.sequence for event in events.items if isinstance(event.what, FrameRecord)
    ]
    assert stored == order


async def test_a_conflict_fails_alone_in_its_group(store: SqliteFrameStore) -> None:
    first, conflict, repeat, last = await put_all(
        store,
        frame(sequence=0),
        frame(sequence=0, stream=b"other"),
        frame(sequence=0),
        frame(sequence=1),
    )
    assert isinstance(conflict, FrameConflict)
    assert [first, repeat, last] == [
        PutOutcome.STORED,
        PutOutcome.DUPLICATE,
        PutOutcome.STORED,
    ]
    assert await listed(store) == [0, 1]


async def test_a_caller_who_gives_up_takes_nothing_of_anyone_with_it(
    store: SqliteFrameStore,
) -> None:
    puts = [asyncio.create_task(store.put(frame(sequence=n))) for n in range(20)]
    await asyncio.sleep(0)
    for put in puts[::2]:
        put.cancel()
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert results[1::2] == [PutOutcome.STORED] * 10
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
    # What was written behind them is stored behind them.
    assert await listed(store) == list(range(20))
    events = await store.events(0, cameras=[], limit=100)
    assert [event.position for event in events.items] == list(range(1, 21))


async def test_a_database_that_is_full_refuses_whole_groups_and_goes_on_reading(
    store: SqliteFrameStore,
) -> None:
    await store.put(frame(sequence=0))
    (pages,) = await store._writes.run(lambda db: db.execute("PRAGMA page_count").fetchone())
    await store._writes.run(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    small, large = frame(sequence=1), frame(sequence=2, stream=bytes(100_000))
    refused = await put_all(store, small, large)
    assert [type(error) for error in refused] == [StoreFull, StoreFull]
    assert "database or disk is full" in str(refused[0])
    assert await listed(store) == [0]
    assert await store.get(frame(sequence=0).key) == frame(sequence=0)
    await store._writes.run(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
    assert await put_all(store, small, large) == [PutOutcome.STORED] * 2
    assert store.newest_position == 3


async def test_a_disk_that_fails_refuses_whole_groups_and_leaves_nothing_half_written(
    store: SqliteFrameStore, path: Path
) -> None:
    await store.put(frame(sequence=0))
    with no_file_larger_than(path.with_name("frames.sqlite-wal").stat().st_size):
        refused = await put_all(store, frame(sequence=1), frame(sequence=2, stream=bytes(50_000)))
        assert [type(error) for error in refused] == [StoreFull, StoreFull]
        assert "disk I/O error" in str(refused[0])
        assert await listed(store) == [0]
    assert await put_all(store, frame(sequence=1)) == [PutOutcome.STORED]
    await store.close()
    assert ask(path, "PRAGMA integrity_check") == "ok"
    assert ask(path, "SELECT count(*) FROM frame") == 2


async def test_a_mistake_in_one_write_does_not_end_the_thread(store: SqliteFrameStore) -> None:
    def mistaken(db: sqlite3.Connection) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store._writes.run(mistaken)
    assert await store.put(frame()) is PutOutcome.STORED


async def test_closing_finishes_the_writes_under_way_and_refuses_later_ones(path: Path) -> None:
    store = await SqliteFrameStore.open(path)
    writes = [asyncio.create_task(store.put(frame(sequence=n))) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    assert {await write for write in writes} == {PutOutcome.STORED}
    with pytest.raises(StoreFailed, match="closed"):
        await store.put(frame(sequence=20))


async def test_readers_do_not_wait_for_a_writer(store: SqliteFrameStore) -> None:
    await store.put(frame())
    reading = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(db: sqlite3.Connection) -> None:
        # Ends only once a read has: a store that made reads wait would hang here.
        asyncio.run_coroutine_threadsafe(reading.wait(), loop).result(30)

    write = asyncio.create_task(store._writes.run(slow))
    await asyncio.sleep(0)
    assert await store.get(frame().key) == frame()
    assert not write.done()
    reading.set()
    await write


async def test_a_gap_is_stored_once_less_the_frames_it_begins_with(
    store: SqliteFrameStore,
) -> None:
    await put_all(store, frame(sequence=5), frame(sequence=6))
    gap = Gap("gate", 1, 5, 9, GapReason.SPOOL_FULL)
    assert await store.put_gap(gap) is PutOutcome.STORED
    assert await store.put_gap(gap) is PutOutcome.DUPLICATE
    assert await store.put_gap(Gap("gate", 1, 5, 6, gap.reason)) is PutOutcome.DUPLICATE
    assert await store.put_gap(Gap("gate", 1, 8, 8, gap.reason)) is PutOutcome.DUPLICATE
    events = await store.events(2, cameras=[], limit=10)
    assert [event.what for event in events.items] == [Gap("gate", 1, 7, 9, gap.reason)]


async def test_a_frame_in_a_gap_that_comes_after_all_is_stored(store: SqliteFrameStore) -> None:
    await store.put_gap(Gap("gate", 1, 0, 9, GapReason.SPOOL_FULL))
    assert await store.put(frame(sequence=4)) is PutOutcome.STORED
