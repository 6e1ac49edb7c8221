"""Retention: what is too old or too much goes for good, is told of, and frees its space."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager, closing
from itertools import pairwise
from pathlib import Path

import pytest

from tests.decoder.store_frames import NOW_NS, ask, frame, until
from ugicm_decoder.errors import FrameNotFound
from ugicm_decoder.store import (
    Event,
    Events,
    Frame,
    FrameQuery,
    FrameRecord,
    FrameStore,
    Gap,
    GapReason,
    PutOutcome,
    SqliteFrameStore,
    StoreLimits,
    inserts,
    retention,
)
from ugicm_decoder.store.ages import FRAMES
from ugicm_decoder.store.connections import open_writer
from ugicm_decoder.store.retention import Retention
from ugicm_decoder.store.room import Room
from ugicm_decoder.watching import read_every, watch
from ugicm_servicekit.sqlite import Ages, Space, space, transaction
from ugicm_servicekit.sqlite.connections import wal_path

MIB = 2**20


class Clock:
    """Time that passes, and a clock on the wall that may be wrong by so many seconds."""

    def __init__(self) -> None:
        self.seconds = 0
        self.wrong_by = 0
        self.num_looks = 0

    def __call__(self) -> int:
        self.num_looks += 1
        return NOW_NS + (self.seconds + self.wrong_by) * 10**9

    def monotonic(self) -> float:
        return float(self.seconds)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "frames.sqlite"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def opened(path: Path, clock: Clock, **limits: float) -> AsyncIterator[SqliteFrameStore]:
    chosen = StoreLimits(**{"retry_seconds": 0, "min_free_bytes": 0, **limits})
    store = await SqliteFrameStore.open(path, chosen, clock_ns=clock, monotonic=clock.monotonic)
    try:
        yield store
    finally:
        await store.close()


def still(db: sqlite3.Connection) -> Ages:
    return Ages(db, FRAMES, lambda: NOW_NS, lambda: 0.0)


def size(path: Path) -> int:
    return path.stat().st_size


async def sequences(store: FrameStore, camera: str = "gate") -> list[int]:
    records = await store.frames(FrameQuery(camera), after=None, limit=1000)
    return [record.key.sequence for record in records]


async def all_of(store: FrameStore, camera: str = "gate") -> list[FrameRecord]:
    return await store.frames(FrameQuery(camera), after=None, limit=1000)


async def retained(clock: Clock) -> None:
    """Return once retention has done what is due now; nobody else looks at the clock."""
    looks = clock.num_looks

    async def looked_twice() -> bool:
        return clock.num_looks >= looks + 2

    await until(looked_twice)


async def said(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return text in caplog.text


async def left(store: FrameStore, *expected: int) -> None:
    async def is_so() -> bool:
        return await sequences(store) == list(expected)

    await until(is_so)


async def test_frames_go_when_they_were_stored_too_long_ago(path: Path, clock: Clock) -> None:
    async with opened(path, clock, retention_seconds=60) as store:
        await store.put(frame(sequence=0))
        clock.seconds = 50
        # Taken long ago, stored now: a spool's late frames stay as long as any other.
        await store.put(frame(sequence=1, captured_ns=-(10**18)))
        clock.seconds = 61
        await left(store, 1)
        with pytest.raises(FrameNotFound, match="gate/1/0 is stored: retention removed it"):
            await store.get(frame(sequence=0).key)


async def test_each_camera_keeps_its_newest_bytes(path: Path, clock: Clock) -> None:
    async with opened(path, clock, retention_camera_bytes=100) as store:
        for sequence in range(5):
            await store.put(frame("gate", sequence, stream=bytes(40)))
        await store.put(frame("yard", 0, stream=bytes(100)))
        await left(store, 3, 4)
        assert await sequences(store, "yard") == [0]
        gate, yard = await store.cameras(after="", limit=10)
        assert (gate.num_frames, gate.num_bytes, yard.num_bytes) == (2, 80, 100)


async def test_what_came_first_goes_first_whatever_a_camera_s_clock_made_of_its_epochs(
    path: Path, clock: Clock
) -> None:
    async with opened(path, clock, retention_camera_bytes=80) as store:
        # Epochs are begun with the time: this camera's clock was put right after the first.
        await store.put(frame(epoch=2**60, sequence=0, stream=bytes(40)))
        await store.put(frame(epoch=2**60, sequence=1, stream=bytes(40)))
        for sequence in (3, 2):
            await store.put(frame(epoch=7, sequence=sequence, stream=bytes(40)))
        await left(store, 2, 3)
        assert [record.key.epoch for record in await all_of(store)] == [7, 7]


@pytest.mark.parametrize("wrong_by", [10**9, -(10**9)], ids=["ahead", "behind"])
async def test_a_clock_that_jumps_removes_nothing_early_and_keeps_nothing_longer(
    path: Path, clock: Clock, wrong_by: int
) -> None:
    async with opened(path, clock, retention_seconds=60) as store:
        await store.put(frame(sequence=0))
        clock.seconds = 30
        clock.wrong_by = wrong_by
        await store.put(frame(sequence=1))
        clock.seconds = 60
        await store.put(frame(sequence=2))
        await retained(clock)
        assert await sequences(store) == [0, 1, 2]
        clock.seconds = 61
        await left(store, 1, 2)
        clock.wrong_by = 0
        clock.seconds = 91
        await left(store, 2)
        clock.seconds = 121
        await left(store)


async def test_time_in_which_the_store_was_closed_counts_once_the_clock_can_be_trusted(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    day = 86_400
    async with opened(path, clock, retention_seconds=2 * day) as store:
        await store.put(frame(sequence=0))
    clock.seconds = day
    async with opened(path, clock, retention_seconds=2 * day) as store:
        await store.put(frame(sequence=1))
        clock.seconds = day + 3599
        await store.put(frame(sequence=2))
        clock.seconds = day + 3600
        await until(lambda: said(caplog, f"closed for {day - 1} s"))
        clock.seconds = 2 * day
        await retained(clock)
        assert await sequences(store) == [0, 1, 2]
        clock.seconds = 2 * day + 1
        await left(store, 1, 2)
        # What was stored before that was known counts from then on.
        clock.seconds = 3 * day + 3600
        await retained(clock)
        assert await sequences(store) == [1, 2]
        clock.seconds = 3 * day + 3601
        await left(store)


@pytest.mark.parametrize("wrong_by", [10**9, -(10**9)], ids=["ahead", "behind"])
async def test_a_clock_that_is_wrong_for_less_than_an_hour_after_the_start_removes_nothing(
    path: Path, clock: Clock, wrong_by: int
) -> None:
    async with opened(path, clock, retention_seconds=7200) as store:
        await store.put(frame(sequence=0))
    clock.wrong_by = wrong_by
    async with opened(path, clock, retention_seconds=7200) as store:
        await store.put(frame(sequence=1))
        clock.seconds = 3000
        await retained(clock)
        clock.wrong_by = 0
        clock.seconds = 7000
        await store.put(frame(sequence=2))
        await retained(clock)
        assert await sequences(store) == [0, 1, 2]
        clock.seconds = 7202
        await left(store, 2)


def test_closed_time_that_cannot_be_written_down_makes_nothing_older(
    path: Path, clock: Clock
) -> None:
    with ExitStack() as resources:
        db = open_writer(path, resources)
        room = Room(path, StoreLimits(min_free_bytes=0), lambda: 10**12)
        room.measure(db)

        def store(sequence: int, ages: Ages) -> None:
            inserts.insert_frame(db, frame(sequence=sequence), NOW_NS, room)
            ages.note()

        store(0, Ages(db, FRAMES, clock, clock.monotonic))
        clock.seconds = 86_400
        ages = Ages(db, FRAMES, clock, clock.monotonic)
        store(1, ages)
        clock.seconds += 3600
        db.execute(
            "CREATE TRIGGER broken BEFORE DELETE ON arrival BEGIN SELECT raise(ABORT, 'no'); END"
        )
        with pytest.raises(sqlite3.IntegrityError):
            ages.count_closed_time()
        assert ages.newest_older_than(7200) == 0
        db.execute("DROP TRIGGER broken")
        ages.count_closed_time()
        assert ages.newest_older_than(86_400) == 1


async def test_when_frames_were_stored_is_forgotten_with_them(path: Path, clock: Clock) -> None:
    async with opened(path, clock, retention_camera_bytes=40) as store:
        for number in range(20):
            clock.seconds = number
            await store.put(frame(sequence=number, stream=bytes(20)))
        await left(store, 18, 19)
        await retained(clock)
    assert ask(path, "SELECT count(*) FROM arrival") <= 3


async def test_without_limits_everything_stays(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as store:
        await store.put(frame(sequence=0))
        clock.seconds = 10**9
        await store.put(frame(sequence=1))
    async with opened(path, clock) as store:
        assert await sequences(store) == [0, 1]


async def test_what_was_removed_is_a_duplicate_when_it_comes_again_also_after_a_restart(
    path: Path, clock: Clock
) -> None:
    frames = [frame(sequence=number) for number in range(6)]
    async with opened(path, clock, retention_seconds=60) as store:
        for one in frames[:4]:
            await store.put(one)
        clock.seconds = 100
        await left(store)
    async with opened(path, clock, retention_seconds=60) as store:
        replayed = [await store.put(one) for one in frames]
        assert replayed == [PutOutcome.DUPLICATE] * 4 + [PutOutcome.STORED] * 2
        assert await sequences(store) == [4, 5]


async def test_a_camera_that_leaves_numbers_out_is_remembered_in_bounded_space(
    path: Path, clock: Clock
) -> None:
    frames = [frame(sequence=2 * number) for number in range(300)]
    async with opened(path, clock, retention_seconds=60) as store:
        for some in range(0, 300, 30):
            await asyncio.gather(*map(store.put, frames[some : some + 30]))
            clock.seconds += 61
            await left(store)
        assert set(await asyncio.gather(*map(store.put, frames))) == {PutOutcome.DUPLICATE}
    assert ask(path, "SELECT count(*) FROM gap") <= 64


async def test_a_cursor_goes_on_over_what_was_removed_and_is_told_of_it(
    path: Path, clock: Clock
) -> None:
    async with opened(path, clock, retention_camera_bytes=30) as store:
        for number in range(10):
            await store.put(frame("gate", number, stream=b"tenbytes.."))
            await store.put(frame("yard", number, stream=b"small"))
        await left(store, 7, 8, 9)

        async def yard_is_settled() -> bool:
            return await sequences(store, "yard") == [4, 5, 6, 7, 8, 9]

        await until(yard_is_settled)
        events = await store.events(4, cameras=[], limit=100)
        told = [event.what for event in events.items if isinstance(event.what, Gap)]
        assert told == [
            Gap("yard", 1, 0, 3, GapReason.RETENTION),
            Gap("gate", 1, 0, 6, GapReason.RETENTION),
        ]
        # In the removed frames' places: before what was stored behind them.
        keys = [event.what.key for event in events.items if isinstance(event.what, FrameRecord)]
        assert len(keys) == 9
        positions = [event.position for event in events.items]
        assert positions == sorted(positions)
        assert positions[:2] == [8, 10]
        # A reader who had all of them is not told.
        late = await store.events(17, cameras=[], limit=100)
        assert not any(isinstance(event.what, Gap) for event in late.items)


async def test_old_gap_records_go_too_and_those_of_retention_stay(path: Path, clock: Clock) -> None:
    async with opened(path, clock, retention_seconds=60) as store:
        await store.put(frame(sequence=0))
        await store.put_gap(Gap("gate", 1, 1, 3, GapReason.SPOOL_FULL))
        clock.seconds = 61

        async def only_the_removed_is_told() -> bool:
            events = await store.events(0, cameras=[], limit=10)
            return events.items == [Event(1, Gap("gate", 1, 0, 0, GapReason.RETENTION))]

        await until(only_the_removed_is_told)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_stay_whole_while_frames_come_and_go(
    path: Path, clock: Clock, newest_first: bool
) -> None:
    async with opened(path, clock, retention_camera_bytes=100) as store:
        for number in range(10, 20):
            await store.put(frame("gate", number, stream=b"tenbytes.."))
        query = FrameQuery("gate", newest_first=newest_first)
        first = await store.frames(query, after=None, limit=4)
        # Four new ones push the four oldest out.
        for number in range(20, 24):
            await store.put(frame("gate", number, stream=b"tenbytes.."))
        await left(store, *range(14, 24))
        rest = await store.frames(query, after=first[-1].key, limit=100)
        paged = [record.key.sequence for record in (*first, *rest)]
        assert paged == ([19, 18, 17, 16, 15, 14] if newest_first else list(range(10, 24)))


async def test_a_watch_tells_of_a_frame_that_goes_before_its_bytes_are_read(
    path: Path, clock: Clock
) -> None:
    async def read_then_remove(store: FrameStore, position: int, cameras: list[str]) -> Events:
        events = await read_every(store, position, cameras)
        clock.seconds = 61
        await left(store)
        return events

    async with opened(path, clock, retention_seconds=60) as store:
        await store.put(frame())
        seen = watch(
            store,
            0,
            read=read_then_remove,
            cameras=[],
            with_streams=True,
            stopping=asyncio.Event(),
        )
        async with aclosing(seen):
            first = await anext(seen)
        assert (first.position, first.what) == (1, Gap("gate", 1, 0, 0, GapReason.RETENTION))


def test_one_step_is_bounded_in_frames_and_in_bytes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_STEP_FRAMES", 50)
    monkeypatch.setattr(retention, "_STEP_BYTES", 100_000)
    limits = StoreLimits(retention_camera_bytes=1, min_free_bytes=0)
    with ExitStack() as resources:
        db = open_writer(path, resources)
        room = Room(path, limits, lambda: 10**12)
        work = Retention(db, Space(db, path), limits, room, still(db), lambda: NOW_NS)

        def removed_by_one_step(*frames: Frame) -> int:
            with transaction(db, "IMMEDIATE"):
                room.measure(db)
                for one in frames:
                    inserts.insert_frame(db, one, NOW_NS, room)
            assert work.do_part()
            (count,) = db.execute("SELECT count(*) FROM frame").fetchone()
            while work.do_part():
                pass
            return len(frames) - count

        small = [frame("gate", number, stream=b"12") for number in range(99)]
        assert removed_by_one_step(*small) == 50
        large = [frame("yard", number, stream=bytes(25_000)) for number in range(9)]
        assert removed_by_one_step(*large) == 4


def test_one_step_gives_many_pages_back_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "_SPARE_PAGES", 100)
    monkeypatch.setattr(space, "_STEP_PAGES", 60)
    limits = StoreLimits(retention_camera_bytes=1, min_free_bytes=0)
    with ExitStack() as resources:
        db = open_writer(path, resources)
        room = Room(path, limits, lambda: 10**12)
        work = Retention(db, Space(db, path), limits, room, still(db), lambda: NOW_NS)
        with transaction(db, "IMMEDIATE"):
            room.measure(db)
            inserts.insert_frame(db, frame(stream=bytes(200 * 4096)), NOW_NS, room)

        def unused_after_step() -> int:
            work.do_part()
            return int(db.execute("PRAGMA freelist_count").fetchone()[0])

        unused = [unused_after_step() for _ in range(4)]
        # The first step removes and gives back; they end below what is to spare, and stay there.
        assert [before - after for before, after in pairwise(unused)] == [60, 0, 0]
        assert 140 <= unused[0] <= 150


@pytest.mark.parametrize(
    ("min_free_bytes", "most_pages"), [(0, 200), (2**60, 50)], ids=["free", "scarce"]
)
async def test_freed_space_is_given_back_beyond_what_new_frames_take_soon(
    path: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    min_free_bytes: int,
    most_pages: int,
) -> None:
    monkeypatch.setattr(space, "_SPARE_PAGES", 150)
    page = 4096
    async with opened(path, clock) as store:
        streams = [frame(sequence=number, stream=bytes(100 * page)) for number in range(6)]
        await asyncio.gather(*map(store.put, streams))
    assert size(path) > 600 * page

    async def is_small() -> bool:
        return size(path) <= most_pages * page and size(wal_path(path)) <= 50 * page

    limits = {"retention_camera_bytes": 1, "min_free_bytes": min_free_bytes}
    async with opened(path, clock, **limits) as store:
        await until(is_small)
        assert await sequences(store) == []
    assert ask(path, "PRAGMA integrity_check") == "ok"


async def test_the_log_is_cut_once_the_reader_that_held_it_up_is_gone(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "_MOST_LOG_BYTES", MIB)
    async with opened(path, clock) as store:
        await store.put(frame(sequence=0))
        with closing(sqlite3.connect(path, isolation_level=None)) as slow:
            slow.execute("BEGIN")
            slow.execute("SELECT * FROM camera").fetchall()
            for number in range(1, 5):
                await store.put(frame(sequence=number, stream=bytes(MIB)))
            assert size(wal_path(path)) > 4 * MIB

        async def is_cut() -> bool:
            return size(wal_path(path)) <= MIB

        await until(is_cut)
        assert await sequences(store) == [0, 1, 2, 3, 4]


async def test_upkeep_that_fails_is_logged_once_and_goes_on_later(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = 3

    def failing(*_: object, **__: object) -> list[object]:
        nonlocal failures
        if failures:
            failures -= 1
            raise sqlite3.OperationalError("disk I/O error")
        return select(*_, **__)

    select = retention.select_beyond_bytes
    monkeypatch.setattr(retention, "select_beyond_bytes", failing)
    async with opened(path, clock, retention_camera_bytes=1) as store:
        await store.put(frame())
        await left(store)
    assert caplog.text.count("upkeep failed") == 1
