"""A disk or a store that is nearly full: nothing new, all else goes on, and it passes by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.decoder.store_frames import ask, frame, until
from ugicm_decoder.errors import StoreFull
from ugicm_decoder.store import (
    FrameQuery,
    Gap,
    GapReason,
    PutOutcome,
    SqliteFrameStore,
    StoreLimits,
    room,
)

MIB = 2**20
GAP = Gap("gate", 1, 1, 3, GapReason.SPOOL_FULL)


class Disk:
    """A disk whose free space a test sets."""

    def __init__(self) -> None:
        self.free = 1000 * MIB

    def __call__(self, folder: Path) -> int:
        return self.free


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "frames.sqlite"


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def store(path: Path, disk: Disk) -> AsyncIterator[SqliteFrameStore]:
    store = await SqliteFrameStore.open(path, StoreLimits(retry_seconds=0), disk_free=disk)
    yield store
    await store.close()


async def test_64_mib_of_the_disk_stay_free(store: SqliteFrameStore, disk: Disk) -> None:
    disk.free = 65 * MIB
    assert await store.put(frame(sequence=0, stream=bytes(5000))) is PutOutcome.STORED
    disk.free = 64 * MIB + 9000
    with pytest.raises(StoreFull, match=f"disk has {disk.free} bytes free, .* {64 * MIB} stay"):
        await store.put(frame(sequence=1, stream=bytes(5000)))


async def test_room_for_what_the_log_holds_is_kept_too(
    store: SqliteFrameStore, path: Path, disk: Disk
) -> None:
    total = 80 * MIB
    for sequence in range(16):
        disk.free = total - sum(entry.stat().st_size for entry in path.parent.iterdir())
        with suppress(StoreFull):
            await store.put(frame(sequence=sequence, stream=bytes(MIB)))
    stored = len(await store.frames(FrameQuery("gate"), after=None, limit=100))
    # Of 16 MiB, the log takes one half and the file will take the other.
    assert 6 <= stored <= 8


async def test_a_full_disk_is_read_and_its_frames_are_recognised(
    store: SqliteFrameStore, disk: Disk
) -> None:
    await store.put(frame(sequence=0))
    await store.put_gap(GAP)
    disk.free = 0
    for new in (store.put(frame(sequence=4)), store.put_gap(Gap("gate", 1, 5, 5, GAP.reason))):
        with pytest.raises(StoreFull):
            await new
    assert await store.put(frame(sequence=0)) is PutOutcome.DUPLICATE
    assert await store.put_gap(GAP) is PutOutcome.DUPLICATE
    assert await store.get(frame(sequence=0).key) == frame(sequence=0)
    assert len(await store.frames(FrameQuery("gate"), after=None, limit=10)) == 1


async def test_frames_are_taken_again_as_soon_as_there_is_room(
    store: SqliteFrameStore, disk: Disk
) -> None:
    disk.free = 0
    with pytest.raises(StoreFull):
        await store.put(frame())
    disk.free = 1000 * MIB
    assert await store.put(frame()) is PutOutcome.STORED
    assert store.newest_position == 1


async def test_a_refusal_says_when_to_come_back(path: Path, disk: Disk) -> None:
    store = await SqliteFrameStore.open(path, StoreLimits(retry_seconds=7), disk_free=disk)
    disk.free = 0
    with pytest.raises(StoreFull) as caught:
        await store.put(frame())
    assert caught.value.retry_after_seconds == 7
    await store.close()


async def test_what_was_under_way_behind_a_refused_frame_is_refused_until_its_turn(
    path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(room.time, "monotonic", lambda: now)
    store = await SqliteFrameStore.open(path, StoreLimits(retry_seconds=2), disk_free=disk)
    disk.free = 64 * MIB + 100_000
    for sequence, size in enumerate([200_000, 5, 5]):
        with pytest.raises(StoreFull):
            await store.put(frame(sequence=sequence, stream=bytes(size)))
    # One camera's large frame is no trouble of the others.
    assert await store.put(frame("yard")) is PutOutcome.STORED
    disk.free = 1000 * MIB
    now += 2
    for sequence, size in enumerate([200_000, 5, 5]):
        await store.put(frame(sequence=sequence, stream=bytes(size)))
    events = await store.events(0, cameras=["gate"], limit=10)
    assert [event.what.key.sequence for event in events.items] == [0, 1, 2]
    await store.close()


async def test_a_store_keeps_to_its_own_size_and_retention_makes_room(path: Path) -> None:
    limits = StoreLimits(max_store_bytes=MIB, retry_seconds=0, min_free_bytes=0)
    store = await SqliteFrameStore.open(path, limits)
    puts = [store.put(frame(sequence=number, stream=bytes(50_000))) for number in range(30)]
    results = await asyncio.gather(*puts, return_exceptions=True)
    stored = results.count(PutOutcome.STORED)
    assert 15 <= stored <= 20
    assert all(f"{MIB} are allowed" in str(refusal) for refusal in results[stored:])
    await store.close()
    assert ask(path, "PRAGMA page_count") * ask(path, "PRAGMA page_size") <= MIB

    retaining = StoreLimits(
        max_store_bytes=MIB, retry_seconds=0, min_free_bytes=0, retention_camera_bytes=MIB // 2
    )
    store = await SqliteFrameStore.open(path, retaining)
    refused = frame(sequence=stored, stream=bytes(50_000))

    async def is_taken() -> bool:
        try:
            return await store.put(refused) is PutOutcome.STORED
        except StoreFull:
            return False

    await until(is_taken)
    await store.close()


async def test_a_disk_that_cannot_be_asked_refuses_frames(path: Path) -> None:
    def unplugged(folder: Path) -> int:
        raise OSError(5, "Input/output error")

    store = await SqliteFrameStore.open(path, StoreLimits(retry_seconds=0), disk_free=unplugged)
    with pytest.raises(StoreFull, match="Input/output error"):
        await store.put(frame())
    assert await store.cameras(after="", limit=1) == []
    await store.close()
