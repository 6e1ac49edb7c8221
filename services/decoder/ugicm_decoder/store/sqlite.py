"""Frames in one SQLite file: durable before they are acknowledged, verified when they are read."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from ugicm_decoder.errors import FrameDamaged, StoreError, StoreFailed, StoreUnusable
from ugicm_decoder.metrics import COMMIT_WRITES, DAMAGED_FRAMES
from ugicm_decoder.store import inserts, queries
from ugicm_decoder.store.ages import FRAMES
from ugicm_decoder.store.connections import open_writer, typed
from ugicm_decoder.store.interface import (
    CameraSummary,
    Events,
    Frame,
    FrameQuery,
    FrameRecord,
    Gap,
    GapReason,
    PutOutcome,
)
from ugicm_decoder.store.limits import StoreLimits
from ugicm_decoder.store.retention import Retention
from ugicm_decoder.store.room import Room
from ugicm_servicekit.errors import DatabaseUnusable
from ugicm_servicekit.sqlite import (
    Ages,
    Commit,
    GroupCommit,
    Readers,
    Space,
    Upkeep,
    is_damage,
    open_reader,
)
from ugicm_servicekit.wire import FrameKey

__all__ = ["SqliteFrameStore"]

_log = logging.getLogger(__name__)

_NUM_READERS = 2


class SqliteFrameStore:
    """A ``FrameStore`` in one file, for one process; made by ``open``.

    All writes go through one thread, so that commits have one order, and what arrives together
    shares one. Reads have connections of their own and never wait for a commit.
    """

    def __init__(
        self,
        path: Path,
        writer: sqlite3.Connection,
        readers: Sequence[sqlite3.Connection],
        opened: ExitStack,
        *,
        limits: StoreLimits,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
        disk_free: Callable[[], int],
    ) -> None:
        self._clock_ns = clock_ns
        self._loop = asyncio.get_running_loop()
        self._opened = opened
        self._writer = writer
        self._readers = Readers(readers, name="frame-reader", failed=typed)
        self._id = queries.store_id(writer)
        self._newest_position = queries.newest_position(writer)
        self._grown = asyncio.Event()
        self._room = Room(path, limits, disk_free)
        ages = Ages(writer, FRAMES, clock_ns, monotonic)
        retention = Retention(writer, Space(writer, path), limits, self._room, ages, clock_ns)
        self._writes = GroupCommit(
            writer,
            name="frame-writer",
            failed=self._refusal,
            closed=lambda: StoreFailed("the frame store is closed"),
            begun=lambda: self._room.measure(writer),
            ended=ages.note,
            committed=self._committed,
            upkeep=Upkeep(retention.do_part, what="frame store"),
        )

    @classmethod
    async def open(
        cls,
        path: Path,
        limits: StoreLimits = StoreLimits(),  # noqa: B008 - frozen
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        disk_free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> SqliteFrameStore:
        """Open the store at ``path``, made or brought to the current version where needed.

        Args:
            path: the database's file; its log and a lock lie beside it.
            limits: what the store may hold.
            clock_ns: nanoseconds since 1970.
            monotonic: seconds that pass, from any beginning.
            disk_free: the bytes that are free on the disk of a folder.

        Raises:
            StoreUnusable: the file cannot be opened as a frame store, or another decoder has it.
        """
        with ExitStack() as opened:
            try:
                writer = await asyncio.to_thread(open_writer, path, opened)
                readers = [open_reader(path, opened) for _ in range(_NUM_READERS)]
            except (OSError, sqlite3.Error, DatabaseUnusable) as error:
                raise StoreUnusable(f"cannot open the frame store {path}: {error}") from error
            return cls(
                path,
                writer,
                readers,
                opened.pop_all(),
                limits=limits,
                clock_ns=clock_ns,
                monotonic=monotonic,
                disk_free=partial(disk_free, path.parent),
            )

    @property
    def id(self) -> bytes:
        """8 bytes that tell this store from every other."""
        return self._id

    @property
    def newest_position(self) -> int:
        """The position of what was stored last; 0 in a new store."""
        return self._newest_position

    async def catch_up(self) -> None:
        """Return at once: nobody else writes."""

    async def put(self, frame: Frame) -> PutOutcome:
        """Return once the frame is durable."""
        return await self._writes.run(
            lambda db: inserts.insert_frame(db, frame, self._clock_ns(), self._room),
            num_bytes=len(frame.stream),
        )

    async def put_gap(self, gap: Gap) -> PutOutcome:
        """Return once the gap is durable."""
        return await self._writes.run(
            lambda db: inserts.insert_gap(db, gap, self._clock_ns(), self._room)
        )

    async def check_room(self) -> None:
        """Return if a small frame could be stored now."""
        await self._writes.run(lambda db: self._room.check())

    async def get(self, key: FrameKey) -> Frame:
        """Return a frame whose bytes are those that were put; where they are not, say so to all."""
        try:
            return await self._readers.run(lambda db: queries.select_frame(db, key))
        except FrameDamaged:
            DAMAGED_FRAMES.inc()
            await self._report_damage(key)
            raise

    async def cameras(self, *, after: str, limit: int) -> list[CameraSummary]:
        """Return the cameras whose names follow ``after``, by name."""
        return await self._readers.run(lambda db: queries.select_cameras(db, after, limit))

    async def frames(
        self, query: FrameQuery, *, after: FrameKey | None, limit: int
    ) -> list[FrameRecord]:
        """Return the frames that follow ``after`` in the order of the query."""
        return await self._readers.run(lambda db: queries.select_frames(db, query, after, limit))

    async def events(self, position: int, *, cameras: Sequence[str], limit: int) -> Events:
        """Return what was stored behind ``position``; of all cameras where none is named."""
        return await self._readers.run(
            lambda db: queries.select_events(db, position, cameras, limit)
        )

    async def newest_frames(self, position: int, *, cameras: Sequence[str]) -> Events:
        """Return, of each camera, the last frame stored, where that is behind ``position``."""
        return await self._readers.run(
            lambda db: queries.select_newest_frames(db, position, cameras)
        )

    async def wait_beyond(self, position: int) -> None:
        """Return once something is stored behind ``position``."""
        while self._newest_position <= position:
            await self._grown.wait()

    async def close(self) -> None:
        """Finish what is under way, and release the store."""
        await self._writes.close()
        await self._readers.close()
        self._opened.close()

    async def _report_damage(self, key: FrameKey) -> None:
        gap = Gap(key.camera, key.epoch, key.sequence, key.sequence, GapReason.DAMAGED)
        try:
            await self._writes.run(lambda db: inserts.insert_damage(db, gap, self._clock_ns()))
        except StoreError as error:
            _log.warning("cannot record that frame %s is damaged: %s", key, error)

    def _committed(self, commit: Commit) -> None:
        if commit.num_changes:
            COMMIT_WRITES.observe(commit.num_writes)
        position = queries.newest_position(self._writer)
        self._loop.call_soon_threadsafe(self._announce, position)

    def _refusal(self, failure: sqlite3.Error | OSError) -> StoreError:
        if isinstance(failure, sqlite3.Error) and is_damage(failure):
            # Not StoreDamaged: senders would take what they send for damaged, and send it no more.
            return StoreFailed(f"the frame store is damaged, and takes nothing: {failure}")
        return self._room.refuse_all(f"the frame store cannot write: {failure}")

    def _announce(self, position: int) -> None:
        if position > self._newest_position:
            self._newest_position = position
            self._grown.set()
            self._grown = asyncio.Event()
