"""Stored bytes that have changed: never returned, told to every reader, and told once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from tests.decoder.store_frames import change, frame
from ugicm_decoder.errors import FrameDamaged, StoreFailed
from ugicm_decoder.store import FrameRecord, Gap, GapReason, PutOutcome, SqliteFrameStore
from ugicm_decoder.watching import read_every, watch

DAMAGED = Gap("gate", 1, 0, 0, GapReason.DAMAGED)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "frames.sqlite"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteFrameStore]:
    """A store of two frames, the first of which is damaged."""
    store = await SqliteFrameStore.open(path)
    await store.put(frame(sequence=0))
    await store.put(frame(sequence=1))
    change(path, "UPDATE frame SET stream = ? WHERE position = 1", b"bytez")
    yield store
    await store.close()


def flip_a_bit_within(path: Path, text: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(text) + len(text) // 2] ^= 1
    path.write_bytes(content)


async def test_damaged_bytes_are_refused_and_other_frames_still_read(
    store: SqliteFrameStore,
) -> None:
    with pytest.raises(FrameDamaged, match="gate/1/0"):
        await store.get(frame(sequence=0).key)
    assert (await store.get(frame(sequence=1).key)).stream == b"bytes"


@pytest.mark.parametrize("value", [b"", "bytes", 7])
async def test_a_stream_that_is_no_bytes_any_more_is_damaged(path: Path, value: object) -> None:
    store = await SqliteFrameStore.open(path)
    await store.put(frame())
    change(path, "UPDATE frame SET stream = ?", value)
    with pytest.raises(FrameDamaged):
        await store.get(frame().key)
    await store.close()


async def test_bytes_flipped_in_the_file_itself_are_damaged(path: Path) -> None:
    store = await SqliteFrameStore.open(path)
    await store.put(frame(stream=b"needle" * 5000))
    await store.close()
    flip_a_bit_within(path, b"needle" * 100)
    store = await SqliteFrameStore.open(path)
    with pytest.raises(FrameDamaged):
        await store.get(frame().key)
    await store.close()


def break_index(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'frame_by_key'"
        ).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)


async def test_a_damaged_store_refuses_what_comes_without_calling_it_damaged(path: Path) -> None:
    store = await SqliteFrameStore.open(path)
    await store.put(frame(sequence=0))
    await store.close()
    break_index(path)
    store = await SqliteFrameStore.open(path)
    with pytest.raises(StoreFailed, match="takes nothing"):
        await store.put(frame(sequence=1))
    await store.close()


async def test_the_first_reader_to_notice_leaves_one_gap_for_all_others(
    store: SqliteFrameStore,
) -> None:
    for _ in range(3):
        with pytest.raises(FrameDamaged):
            await store.get(frame(sequence=0).key)
    events = await store.events(2, cameras=[], limit=10)
    assert [event.what for event in events.items] == [DAMAGED]
    assert store.newest_position == 3


async def test_a_watch_reports_a_gap_in_the_damaged_frames_place(store: SqliteFrameStore) -> None:
    seen = watch(store, 0, read=read_every, cameras=[], with_streams=True, stopping=asyncio.Event())
    async with aclosing(seen):
        first, second = [await anext(seen) for _ in range(2)]
    assert (first.position, first.what, first.stream) == (1, DAMAGED, b"")
    assert isinstance(second.what, FrameRecord)
    assert second.stream == b"bytes"


async def test_the_same_frame_again_is_still_a_duplicate(store: SqliteFrameStore) -> None:
    with pytest.raises(FrameDamaged):
        await store.get(frame(sequence=0).key)
    assert await store.put(frame(sequence=0)) is PutOutcome.DUPLICATE
