"""Write on one thread; what arrives together shares one transaction."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from ugicm_servicekit.sqlite.connections import transaction
from ugicm_servicekit.sqlite.upkeep import Upkeep

__all__ = ["Commit", "GroupCommit", "GroupLimits"]

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class GroupLimits:
    """A group is full at any of these, or once nothing more has come for a moment.

    Attributes:
        seconds: since its first write.
        quiet_seconds: the moment; 0: a group is what waits already.
    """

    max_writes: int = 256
    max_bytes: int = 8 * 2**20
    seconds: float = 0.010
    quiet_seconds: float = 0.001


@dataclass(frozen=True)
class Commit:
    """What one commit did: for how many callers, in how many rows, and in what time."""

    num_writes: int
    num_changes: int
    seconds: float


@dataclass(frozen=True)
class _Write(Generic[_Result]):
    work: Callable[[sqlite3.Connection], _Result]
    num_bytes: int
    done: asyncio.Future[_Result]


@dataclass(frozen=True)
class _Group:
    writes: list[_Write[Any]]
    is_last: bool


@dataclass(frozen=True)
class _Failed:
    """What a write is told instead of a result."""

    error: Exception


class GroupCommit:
    """The thread that writes: groups in the order of their arrival, and upkeep between them.

    Args:
        db: the only connection that writes; from now on this thread's alone.
        name: of the thread.
        failed: called in the thread where a group is not committed, with what SQLite or the disk
            raised; returns what its callers are told.
        closed: returns what callers are told who come after ``close``.
        limits: on a group.
        begun: called in the thread within each transaction, before the writes.
        ended: called in the thread within each transaction, after the writes.
        committed: called in the thread after each commit, before the callers are answered.
        upkeep: stepped between groups; None where there is nothing to keep up.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        *,
        name: str,
        failed: Callable[[sqlite3.Error | OSError], Exception],
        closed: Callable[[], Exception],
        limits: GroupLimits = GroupLimits(),
        begun: Callable[[], None] = lambda: None,
        ended: Callable[[], None] = lambda: None,
        committed: Callable[[Commit], None] = lambda _: None,
        upkeep: Upkeep | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._db = db
        self._failed = failed
        self._closed_error = closed
        self._limits = limits
        self._begun = begun
        self._ended = ended
        self._committed = committed
        self._upkeep = upkeep
        self._closed = False
        self._queue: SimpleQueue[_Write[Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(
        self, work: Callable[[sqlite3.Connection], _Result], *, num_bytes: int = 0
    ) -> _Result:
        """Return what ``work`` returns, once it is durable.

        Where ``work`` raises an error of its own, its caller gets that, nothing that it wrote
        stays, and the rest of the group does not notice. An error of SQLite or the disk fails the
        whole group. A caller who gives up takes nothing back: its work is done in its turn, as
        what a sender wrote behind it may be.

        Args:
            work: reads and writes within the group's transaction.
            num_bytes: how large it is, roughly.
        """
        if self._closed:
            raise self._closed_error()
        done: asyncio.Future[_Result] = self._loop.create_future()
        self._queue.put(_Write(work, num_bytes, done))
        return await done

    async def close(self) -> None:
        """Finish what has come, and end the thread; the connection stays open."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while True:
            group = self._gather()
            if group.writes:
                self._finish(group.writes, self._commit(group.writes))
            if group.is_last:
                return
            if self._upkeep is not None:
                self._upkeep.step()

    def _gather(self) -> _Group:
        limits = self._limits
        writes: list[_Write[Any]] = []
        num_bytes = 0
        wait = None if self._upkeep is None else self._upkeep.seconds_to_next()
        deadline = float("inf")
        while len(writes) < limits.max_writes and num_bytes < limits.max_bytes:
            try:
                write = self._queue.get(timeout=wait)
            except Empty:
                break
            if write is None:
                return _Group(writes, is_last=True)
            writes.append(write)
            num_bytes += write.num_bytes
            now = time.monotonic()
            deadline = min(deadline, now + limits.seconds)
            wait = max(0.0, min(limits.quiet_seconds, deadline - now))
        return _Group(writes, is_last=False)

    def _commit(self, writes: list[_Write[Any]]) -> list[Any]:
        """Return the result of each write, or how it failed."""
        started, before = time.monotonic(), self._db.total_changes
        try:
            with transaction(self._db, "IMMEDIATE"):
                self._begun()
                outcomes = [self._outcome(write) for write in writes]
                self._ended()
            changes = self._db.total_changes - before
            self._committed(Commit(len(writes), changes, time.monotonic() - started))
        except (sqlite3.Error, OSError) as failure:
            error = self._failed(failure)
            error.__cause__ = failure
        except Exception as mistake:  # noqa: BLE001 - the outermost layer of a thread
            error = mistake
        else:
            return outcomes
        return [_Failed(error)] * len(writes)

    def _outcome(self, write: _Write[Any]) -> Any:
        self._db.execute("SAVEPOINT write")
        try:
            result = write.work(self._db)
        except (sqlite3.Error, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - raised again where it was asked for
            self._db.execute("ROLLBACK TO write")
            result = _Failed(error)
        self._db.execute("RELEASE write")
        return result

    def _finish(self, writes: list[_Write[Any]], outcomes: list[Any]) -> None:
        def answer() -> None:
            for write, outcome in zip(writes, outcomes, strict=True):
                if write.done.done():  # its caller gave up
                    continue
                if isinstance(outcome, _Failed):
                    write.done.set_exception(outcome.error)
                else:
                    write.done.set_result(outcome)

        # One turn of the loop for the whole group.
        self._loop.call_soon_threadsafe(answer)
