"""Run operations on one SQLite connection, those that wait together in one commit."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from ugicm_encoder.errors import SpoolFailed

__all__ = ["Commits"]

_Result = TypeVar("_Result")

_MOST_OF_A_GROUP = 256


@dataclass(frozen=True)
class _Job(Generic[_Result]):
    """An operation, and who waits for what it returns."""

    operation: Callable[[sqlite3.Connection], _Result]
    future: asyncio.Future[_Result]


class Commits:
    """One thread, so that all operations have one order; results are told once they are durable.

    While one group is being written to the disk the next one gathers, so nobody waits for company.

    Args:
        db: a connection without transactions of its own; used in the thread only.
        committed: called in the thread after each commit, with the seconds that it took.
        failed: called in the thread where a group is not committed, with what SQLite raised;
            returns what callers are told.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        *,
        committed: Callable[[float], None],
        failed: Callable[[sqlite3.Error], Exception],
    ) -> None:
        self._db = db
        self._committed = committed
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="spool")
        self._thread.start()

    async def run(self, operation: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Return what the operation returns, once all that it wrote is durable.

        What an operation wrote before it raised is durable too.

        Raises:
            SpoolFailed: the spool is closed.
        """
        if self._is_closed:
            raise SpoolFailed("the spool is closed")
        future: asyncio.Future[_Result] = self._loop.create_future()
        self._jobs.put(_Job(operation, future))
        return await future

    async def close(self) -> None:
        """Finish what was asked for, and end the thread."""
        self._is_closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        ending = False
        while not ending:
            group = [self._jobs.get()]
            with suppress(Empty):
                while len(group) < _MOST_OF_A_GROUP:
                    group.append(self._jobs.get_nowait())
            ending = None in group
            self._commit([job for job in group if job is not None])

    def _commit(self, jobs: list[_Job[Any]]) -> None:
        outcomes: list[tuple[Any, Exception | None]] = []
        started = time.monotonic()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for job in jobs:
                try:
                    outcomes.append((job.operation(self._db), None))
                except sqlite3.Error:
                    raise
                except Exception as error:  # noqa: BLE001 - raised again where it was asked for
                    outcomes.append((None, error))
            self._db.execute("COMMIT")
            self._committed(time.monotonic() - started)
        except sqlite3.Error as error:
            # Nothing of the group is in the file.
            outcomes = [(None, self._failed(error))] * len(jobs)
        finally:
            if self._db.in_transaction:
                with suppress(sqlite3.Error):  # the next group fails, and tries again
                    self._db.execute("ROLLBACK")
        self._loop.call_soon_threadsafe(_tell, jobs, outcomes)


def _tell(jobs: list[_Job[Any]], outcomes: list[tuple[Any, Exception | None]]) -> None:
    for job, (value, error) in zip(jobs, outcomes, strict=True):
        if job.future.done():  # whoever asked has left
            continue
        if error is None:
            job.future.set_result(value)
        else:
            job.future.set_exception(error)
