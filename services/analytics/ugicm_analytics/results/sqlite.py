"""Results in one SQLite file: durable before they are answered, verified when they are read."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

from ugicm.v1 import analytics_pb2 as pb
from ugicm_analytics.errors import ResultsDamaged, ResultsError, ResultsFailed, ResultsFull
from ugicm_analytics.results import queries, writes
from ugicm_analytics.results.interface import (
    Found,
    Missed,
    MissedRecord,
    Place,
    Progress,
    ResultKey,
    ResultLimits,
    ResultQuery,
)
from ugicm_analytics.results.retention import AGED, Retention
from ugicm_analytics.results.schema import SCHEMA
from ugicm_servicekit.errors import DatabaseUnusable
from ugicm_servicekit.sqlite import (
    Ages,
    GroupCommit,
    Readers,
    Space,
    Upkeep,
    is_damage,
    open_reader,
    open_writer,
)

__all__ = ["SqliteResultStore"]

_Result = TypeVar("_Result")

_NUM_READERS = 2
_RETRY_SECONDS = 1.0


class SqliteResultStore:
    """A ``ResultStore`` in one file, for one process; made by ``open``."""

    def __init__(
        self,
        path: Path,
        writer: sqlite3.Connection,
        readers: Sequence[sqlite3.Connection],
        opened: ExitStack,
        *,
        limits: ResultLimits,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
        disk_free: Callable[[], int],
    ) -> None:
        self._clock_ns = clock_ns
        self._limits = limits
        self._disk_free = disk_free
        self._opened = opened
        self._readers = Readers(readers, name="result-reader", failed=_typed)
        self._ages = {
            table: Ages(writer, aged, clock_ns, monotonic) for table, aged in AGED.items()
        }
        retention = Retention(writer, Space(writer, path), limits, disk_free, self._ages)
        self._writes = GroupCommit(
            writer,
            name="result-writer",
            failed=_refusal,
            closed=lambda: ResultsFailed("the results store is closed"),
            ended=self._note_ages,
            upkeep=Upkeep(retention.do_part, what="results store"),
        )

    @classmethod
    async def open(
        cls,
        path: Path,
        limits: ResultLimits = ResultLimits(),  # noqa: B008 - frozen
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        disk_free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> SqliteResultStore:
        """Open the store at ``path``, made or brought to the current version where needed.

        Args:
            path: the database's file; its log and a lock lie beside it.
            limits: what the store may hold.
            clock_ns: nanoseconds since 1970.
            monotonic: seconds that pass, from any beginning.
            disk_free: the bytes that are free on the disk of a folder.

        Raises:
            DatabaseUnusable: the file cannot be opened as a results store, or another process
                has it.
        """
        lock = path.with_name(f"{path.name}-lock")
        taken = "another process has it open"
        with ExitStack() as opened:
            try:
                writer = await asyncio.to_thread(
                    open_writer, path, SCHEMA, opened, lock=lock, taken=taken
                )
                writer.execute("PRAGMA foreign_keys = ON")
                readers = [open_reader(path, opened) for _ in range(_NUM_READERS)]
            except (OSError, sqlite3.Error, DatabaseUnusable) as error:
                raise DatabaseUnusable(f"cannot open the results store {path}: {error}") from error
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

    async def put(self, analysis: pb.Analysis, *, progress: Progress | None = None) -> set[str]:
        """Return the analyzers whose results of a frame are new, once all are durable.

        Raises:
            ResultsFull: there is no room; reads go on.
        """

        def write(db: sqlite3.Connection) -> set[str]:
            if progress is not None:
                writes.set_progress(db, progress)
            return writes.insert_analysis(db, analysis, self._clock_ns())

        return await self._write(write, num_bytes=analysis.ByteSize())

    async def put_missed(self, missed: Missed, *, progress: Progress) -> None:
        """Return once it is durable that frames were missed.

        Raises:
            ResultsFull: there is no room; reads go on.
        """

        def write(db: sqlite3.Connection) -> None:
            writes.set_progress(db, progress)
            writes.insert_missed(db, missed, self._clock_ns())

        await self._write(write)

    async def advance(self, progress: Progress) -> None:
        """Return once it is durable how far a watch has come.

        Raises:
            ResultsFull: there is no room; reads go on.
        """
        await self._write(lambda db: writes.set_progress(db, progress))

    async def has(self, key: ResultKey) -> bool:
        """Tell whether a result is kept that is no failure."""
        return await self._readers.run(lambda db: queries.select_has(db, key))

    async def cursor(self, watch: str) -> bytes | None:
        """Return where a watch goes on; None where it never began."""
        return await self._readers.run(lambda db: queries.select_cursor(db, watch))

    async def pictures(self, query: ResultQuery, *, after: Place | None, limit: int) -> list[Found]:
        """Return the pictures that follow ``after`` in the order of the query."""
        return await self._readers.run(lambda db: queries.select_pictures(db, query, after, limit))

    async def missed(self, cameras: Sequence[str], *, after: int, limit: int) -> list[MissedRecord]:
        """Return what was missed of some cameras, or of all, behind the row ``after``."""
        return await self._readers.run(lambda db: queries.select_missed(db, cameras, after, limit))

    async def check_room(self) -> None:
        """Return if a result could be stored now.

        Raises:
            ResultsFull: there is no room; reads go on.
        """
        self._check_room()

    async def close(self) -> None:
        """Finish what is under way, and release the store."""
        await self._writes.close()
        await self._readers.close()
        self._opened.close()

    async def _write(
        self, work: Callable[[sqlite3.Connection], _Result], *, num_bytes: int = 0
    ) -> _Result:
        def checked(db: sqlite3.Connection) -> _Result:
            self._check_room()
            return work(db)

        return await self._writes.run(checked, num_bytes=num_bytes)

    def _note_ages(self) -> None:
        for ages in self._ages.values():
            ages.note()

    def _check_room(self) -> None:
        free, kept = self._disk_free(), self._limits.min_free_bytes
        if free < kept:
            raise _full(f"the results store has no room: {free} bytes free of {kept} to keep free")


def _full(message: str) -> ResultsFull:
    return ResultsFull(message, retry_after_seconds=_RETRY_SECONDS)


def _typed(error: sqlite3.Error) -> ResultsError:
    if is_damage(error):
        return ResultsDamaged(f"the results store is damaged: {error}")
    return ResultsFailed(f"the results store failed: {error}")


def _refusal(failure: sqlite3.Error | OSError) -> ResultsError:
    """Return what writers are told where nothing of theirs was committed."""
    if isinstance(failure, sqlite3.Error) and is_damage(failure):
        return ResultsFailed(f"the results store is damaged, and takes nothing: {failure}")
    return _full(f"the results store cannot write: {failure}")
