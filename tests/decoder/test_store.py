"""The frame store: what is acknowledged stays, and reads as it was written."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.decoder.store_frames import LARGEST, NOW_NS, ask, frame
from ugicm_decoder.errors import FrameConflict, FrameNotFound, StoreUnusable
from ugicm_decoder.store import (
    FrameQuery,
    FrameRecord,
    FrameStore,
    Gap,
    GapReason,
    PutOutcome,
    SqliteFrameStore,
)
from ugicm_servicekit.wire import FrameKey


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "frames.sqlite"


@pytest.fixture
async def sqlite_store(path: Path) -> AsyncIterator[SqliteFrameStore]:
    store = await SqliteFrameStore.open(path, clock_ns=lambda: NOW_NS)
    yield store
    await store.close()


@pytest.fixture(params=["sqlite_store", "jetstream_store"])
def store(request: pytest.FixtureRequest) -> FrameStore:
    """Every kind of store: what holds for one holds for all."""
    chosen: FrameStore = request.getfixturevalue(request.param)
    return chosen


async def test_a_frame_comes_back_as_it_was_put(store: FrameStore) -> None:
    put = frame(epoch=LARGEST, sequence=LARGEST, captured_ns=-5, stream=bytes(range(256)) * 99)
    assert await store.put(put) is PutOutcome.STORED
    assert await store.get(put.key) == put


async def test_a_frame_that_was_never_put_is_not_found(store: FrameStore) -> None:
    with pytest.raises(FrameNotFound, match="gate/1/7"):
        await store.get(FrameKey("gate", 1, 7))


async def test_the_same_bytes_again_are_a_duplicate_and_stored_once(
    store: FrameStore,
) -> None:
    await store.put(frame())
    assert await store.put(frame()) is PutOutcome.DUPLICATE
    (camera,) = await store.cameras(after="", limit=10)
    assert (camera.num_frames, store.newest_position) == (1, 1)


async def test_other_bytes_under_a_taken_key_are_a_conflict_and_change_nothing(
    store: FrameStore,
) -> None:
    await store.put(frame(stream=b"first"))
    with pytest.raises(FrameConflict, match="gate/1/0"):
        await store.put(frame(stream=b"other"))
    assert (await store.get(frame().key)).stream == b"first"


async def test_a_frame_is_seen_by_other_connections_once_put_returns(
    sqlite_store: SqliteFrameStore, path: Path
) -> None:
    await sqlite_store.put(frame())
    assert ask(path, "SELECT count(*) FROM frame") == 1


async def test_every_commit_reaches_the_disk(sqlite_store: SqliteFrameStore, path: Path) -> None:
    full = 2
    asked = sqlite_store._writes.run(lambda db: db.execute("PRAGMA synchronous").fetchone())
    assert await asked == (full,)
    assert ask(path, "PRAGMA journal_mode") == "wal"


async def test_a_reopened_store_has_the_same_identity_and_frames(path: Path) -> None:
    first = await SqliteFrameStore.open(path)
    await first.put(frame())
    await first.close()
    second = await SqliteFrameStore.open(path)
    assert (second.id, second.newest_position) == (first.id, 1)
    assert await second.get(frame().key) == frame()
    await second.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, and long enough to be looked at" * 50)
    with pytest.raises(StoreUnusable, match=r"notes\.txt"):
        await SqliteFrameStore.open(path)


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    before = contents(tmp_path)
    with pytest.raises(StoreUnusable, match="not a frame store"):
        await SqliteFrameStore.open(path)
    assert contents(tmp_path) == before


async def test_a_second_decoder_on_one_store_is_refused_until_the_first_ends(path: Path) -> None:
    first = await SqliteFrameStore.open(path)
    with pytest.raises(StoreUnusable, match=f"another decoder has the frame store {path} open"):
        await SqliteFrameStore.open(path)
    await first.close()
    await (await SqliteFrameStore.open(path)).close()


async def test_a_directory_is_refused_as_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="cannot open"):
        await SqliteFrameStore.open(tmp_path)


async def test_cameras_are_summed_up_and_paged_by_name(store: FrameStore) -> None:
    await store.put(frame("yard", 0, stream=b"1"))
    await store.put(frame("gate", 7, epoch=2, captured_ns=50, stream=b"333"))
    await store.put(frame("gate", 9, epoch=1, captured_ns=90, stream=b"22"))
    first = await store.cameras(after="", limit=1)
    rest = await store.cameras(after="gate", limit=9)
    assert [camera.name for camera in (*first, *rest)] == ["gate", "yard"]
    gate = first[0]
    assert gate.newest_key == FrameKey("gate", 2, 7)
    assert (gate.oldest_ns, gate.newest_ns, gate.num_frames, gate.num_bytes) == (50, 90, 2, 5)


async def test_frames_are_listed_by_epoch_and_sequence_however_they_came(
    store: FrameStore,
) -> None:
    keys = [(LARGEST, 0), (1, LARGEST), (2**63, 5), (1, 2)]
    for epoch, sequence in keys:
        await store.put(frame("gate", sequence, epoch=epoch))
    await store.put(frame("yard", 3))
    listed = await store.frames(FrameQuery("gate"), after=None, limit=10)
    assert [(record.key.epoch, record.key.sequence) for record in listed] == sorted(keys)
    backwards = await store.frames(FrameQuery("gate", newest_first=True), after=None, limit=10)
    assert backwards == listed[::-1]


async def test_a_listed_frame_tells_its_times_and_header(sqlite_store: SqliteFrameStore) -> None:
    put = frame(captured_ns=123)
    await sqlite_store.put(put)
    (record,) = await sqlite_store.frames(FrameQuery("gate"), after=None, limit=1)
    assert record == FrameRecord(put.key, 123, NOW_NS, put.info)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_of_any_size_add_up_to_the_whole_list(
    store: FrameStore, newest_first: bool
) -> None:
    for epoch in (1, 2):
        for sequence in range(4):
            await store.put(frame("gate", sequence, epoch=epoch))
    query = FrameQuery("gate", newest_first=newest_first)
    whole = await store.frames(query, after=None, limit=100)
    paged: list[FrameRecord] = []
    while page := await store.frames(query, after=paged[-1].key if paged else None, limit=3):
        paged += page
    assert paged == whole
    assert len(whole) == 8


async def test_frames_are_chosen_by_epoch_sequence_and_time(store: FrameStore) -> None:
    for sequence in range(6):
        await store.put(frame("gate", sequence, captured_ns=10 * sequence))
    await store.put(frame("gate", 3, epoch=2, captured_ns=30))

    async def sequences(query: FrameQuery) -> list[int]:
        found = await store.frames(query, after=None, limit=100)
        return [record.key.sequence for record in found]

    assert await sequences(FrameQuery("gate", epoch=2)) == [3]
    assert await sequences(FrameQuery("gate", 1, first_sequence=1, last_sequence=2)) == [1, 2]
    assert await sequences(FrameQuery("gate", captured_from_ns=20, captured_before_ns=40)) == [
        2,
        3,
        3,
    ]


async def test_events_come_in_the_order_of_storing(store: FrameStore) -> None:
    gap = Gap("gate", 1, 6, 8, GapReason.SPOOL_FULL)
    await store.put(frame("gate", 9))
    await store.put_gap(gap)
    await store.put(frame("gate", 5))
    events = await store.events(0, cameras=[], limit=10)
    (first, second, third) = (event.what for event in events.items)
    assert isinstance(first, FrameRecord)
    assert first.key.sequence == 9
    assert second == gap
    assert isinstance(third, FrameRecord)
    assert third.key.sequence == 5


async def test_events_are_read_in_parts_without_loss(store: FrameStore) -> None:
    for sequence in range(5):
        await store.put(frame("gate", sequence))
        await store.put_gap(Gap("gate", 2, sequence, sequence, GapReason.DAMAGED))
    position, seen = 0, []
    while (events := await store.events(position, cameras=[], limit=3)).items:
        seen += [event.position for event in events.items]
        position = events.position
    assert seen == list(range(1, 11))


async def test_events_of_other_cameras_are_passed_over_for_good(store: FrameStore) -> None:
    await store.put(frame("gate"))
    await store.put(frame("yard"))
    events = await store.events(0, cameras=["gate", "door"], limit=10)
    assert [event.position for event in events.items] == [1]
    assert events.position == 2


async def test_the_same_gap_again_is_a_duplicate(store: FrameStore) -> None:
    gap = Gap("gate", 1, 0, LARGEST, GapReason.SPOOL_FULL)
    assert await store.put_gap(gap) is PutOutcome.STORED
    assert await store.put_gap(gap) is PutOutcome.DUPLICATE


async def test_the_newest_frame_of_each_camera_is_the_last_stored(
    store: FrameStore,
) -> None:
    for camera, sequence in [("gate", 8), ("yard", 1), ("gate", 2)]:
        await store.put(frame(camera, sequence))
    newest = await store.newest_frames(0, cameras=[])
    assert [event.position for event in newest.items] == [2, 3]
    assert (await store.newest_frames(2, cameras=["yard"])).items == []


async def test_a_waiting_reader_wakes_when_something_is_stored(store: FrameStore) -> None:
    await store.put(frame("gate", 0))
    waiting = asyncio.create_task(store.wait_beyond(1))
    await store.wait_beyond(0)
    assert not waiting.done()
    await store.put(frame("gate", 1))
    await waiting
