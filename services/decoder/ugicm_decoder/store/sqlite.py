"""Frames in one SQLite file: durable before they are acknowledged, verified when they are read."""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from ugicm_decoder.errors import StoreDamaged, StoreFailed, StoreUnusable
from ugicm_decoder.store import queries
from ugicm_decoder.store.interface import (
    CameraSummary,
    Events,
    Frame,
    FrameQuery,
    FrameRecord,
    Gap,
    PutOutcome,
)
from ugicm_decoder.store.schema import check, migrate
from ugicm_servicekit.wire import FrameKey

__all__ = ["SqliteFrameStore"]

_Result = TypeVar("_Result")

_NUM_READERS = 2

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SqliteFrameStore:
    """A ``FrameStore`` in one file, for one process; made by ``open``.

    All writes go through one thread, so that commits have one order. Reads have connections of
    their own and never wait for a commit.
    """

    def __init__(
        self,
        writer: sqlite3.Connection,
        readers: Sequence[sqlite3.Connection],
        opened: ExitStack,
        clock_ns: Callable[[], int],
    ) -> None:
        self._clock_ns = clock_ns
        self._loop = asyncio.get_running_loop()
        self._writer = writer
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="frame-writer")
        self._opened = opened
        self._idle_readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for reader in readers:
            self._idle_readers.put(reader)
        self._reading = ThreadPoolExecutor(len(readers), thread_name_prefix="frame-reader")
        self._id = queries.store_id(writer)
        self._newest_position = queries.newest_position(writer)
        self._grown = asyncio.Event()

    @classmethod
    async def open(
        cls, path: Path, *, clock_ns: Callable[[], int] = time.time_ns
    ) -> SqliteFrameStore:
        """Open the store at ``path``, made or brought to the current version where needed.

        Raises:
            StoreUnusable: the file cannot be opened as a frame store, or another decoder has it.
        """
        with ExitStack() as opened:
            try:
                writer = await asyncio.to_thread(_open_writer, path, opened)
                readers = [_open_reader(path, opened) for _ in range(_NUM_READERS)]
            except (OSError, sqlite3.Error) as error:
                raise StoreUnusable(f"cannot open the frame store {path}: {error}") from error
            return cls(writer, readers, opened.pop_all(), clock_ns)

    @property
    def id(self) -> bytes:
        """8 bytes that tell this store from every other."""
        return self._id

    @property
    def newest_position(self) -> int:
        """The position of what was stored last; 0 in a new store."""
        return self._newest_position

    async def put(self, frame: Frame) -> PutOutcome:
        """Return once the frame is durable."""
        return await self._write(lambda db: queries.insert_frame(db, frame, self._clock_ns()))

    async def put_gap(self, gap: Gap) -> PutOutcome:
        """Return once the gap is durable."""
        return await self._write(lambda db: queries.insert_gap(db, gap, self._clock_ns()))

    async def get(self, key: FrameKey) -> Frame:
        """Return a frame whose bytes are those that were put."""
        return await self._read(lambda db: queries.select_frame(db, key))

    async def cameras(self, *, after: str, limit: int) -> list[CameraSummary]:
        """Return the cameras whose names follow ``after``, by name."""
        return await self._read(lambda db: queries.select_cameras(db, after, limit))

    async def frames(
        self, query: FrameQuery, *, after: FrameKey | None, limit: int
    ) -> list[FrameRecord]:
        """Return the frames that follow ``after`` in the order of the query."""
        return await self._read(lambda db: queries.select_frames(db, query, after, limit))

    async def events(self, position: int, *, cameras: Sequence[str], limit: int) -> Events:
        """Return what was stored behind ``position``; of all cameras where none is named."""
        return await self._read(lambda db: queries.select_events(db, position, cameras, limit))

    async def newest_frames(self, position: int, *, cameras: Sequence[str]) -> Events:
        """Return, of each camera, the last frame stored behind ``position``."""
        return await self._read(lambda db: queries.select_newest_frames(db, position, cameras))

    async def wait_beyond(self, position: int) -> None:
        """Return once something is stored behind ``position``."""
        while self._newest_position <= position:
            await self._grown.wait()

    async def close(self) -> None:
        """Finish what is under way, and release the store."""
        for threads in (self._writing, self._reading):
            await asyncio.to_thread(threads.shutdown)
        self._opened.close()

    async def _write(self, insert: Callable[[sqlite3.Connection], int | None]) -> PutOutcome:
        return await self._loop.run_in_executor(self._writing, self._commit, insert)

    def _commit(self, insert: Callable[[sqlite3.Connection], int | None]) -> PutOutcome:
        with _typed_errors(), _transaction(self._writer, "IMMEDIATE"):
            position = insert(self._writer)
        if position is None:
            return PutOutcome.DUPLICATE
        # Not after the await: a caller who gave up there would leave the watchers asleep.
        self._loop.call_soon_threadsafe(self._announce, position)
        return PutOutcome.STORED

    def _announce(self, position: int) -> None:
        self._newest_position = position
        self._grown.set()
        self._grown = asyncio.Event()

    async def _read(self, select: Callable[[sqlite3.Connection], _Result]) -> _Result:
        return await self._loop.run_in_executor(self._reading, self._select, select)

    def _select(self, select: Callable[[sqlite3.Connection], _Result]) -> _Result:
        reader = self._idle_readers.get()
        try:
            # One transaction, so that several statements see one state.
            with _typed_errors(), _transaction(reader, "DEFERRED"):
                return select(reader)
        finally:
            self._idle_readers.put(reader)


def _open_writer(path: Path, opened: ExitStack) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(_connect(path)) as db:
        check(db)
    opened.enter_context(_locked(path))
    db = opened.enter_context(closing(_connect(path)))
    if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise StoreUnusable(f"the file system of {path} cannot keep a write-ahead log")
    db.execute("PRAGMA synchronous = FULL")
    migrate(db)
    return db


def _open_reader(path: Path, opened: ExitStack) -> sqlite3.Connection:
    db = opened.enter_context(closing(_connect(path)))
    db.execute("PRAGMA query_only = ON")
    return db


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other decoders away: positions are announced within one process only."""
    # A file of its own: closing any descriptor of the database would drop SQLite's locks on it.
    with path.with_name(f"{path.name}-lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreUnusable(f"another decoder has the frame store {path} open") from error
        yield


def _connect(path: Path) -> sqlite3.Connection:
    # Transactions are spelt out below, and each connection has one user at a time.
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


@contextmanager
def _transaction(db: sqlite3.Connection, kind: str) -> Iterator[None]:
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


@contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
            raise StoreDamaged(f"the frame store is damaged: {error}") from error
        raise StoreFailed(f"the frame store failed: {error}") from error
