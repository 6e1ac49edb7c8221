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

from ugicm_decoder.errors import StoreError, StoreFailed
from ugicm_decoder.metrics import COMMIT_WRITES
from ugicm_decoder.store.connections import is_damage, transaction
from ugicm_decoder.store.room import Room
from ugicm_decoder.store.upkeep import Upkeep

__all__ = ["GroupCommit"]

_Result = TypeVar("_Result")

# A group is full at any of these, or once nothing more has come for a moment.
_GROUP_SECONDS = 0.010
_GROUP_WRITES = 256
_GROUP_BYTES = 8 * 2**20
_QUIET_SECONDS = 0.001


@dataclass(frozen=True)
class _Write(Generic[_Result]):
    work: Callable[[sqlite3.Connection], _Result]
    num_bytes: int
    done: asyncio.Future[_Result]


@dataclass(frozen=True)
class _Group:
    writes: list[_Write[Any]]
    is_last: bool


class GroupCommit:
    """The thread that writes: groups in the order of their arrival, and upkeep between them.

    Args:
        db: the only connection that writes.
        room: measured before each group.
        upkeep: stepped between groups.
        committed: called in the thread after each commit, before the writers are answered.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        *,
        room: Room,
        upkeep: Upkeep,
        committed: Callable[[sqlite3.Connection], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._db = db
        self._room = room
        self._upkeep = upkeep
        self._committed = committed
        self._closed = False
        self._queue: SimpleQueue[_Write[Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="frame-writer", daemon=True)
        self._thread.start()

    async def run(
        self, work: Callable[[sqlite3.Connection], _Result], *, num_bytes: int = 0
    ) -> _Result:
        """Return what ``work`` returns, once it is durable.

        A caller who gives up takes nothing back: its work is done in its turn, as what a sender
        wrote behind it may be. ``work`` may raise a ``StoreError`` before it writes; the rest of
        the group does not notice.

        Raises:
            StoreFull: the disk is full, or refuses to write; nothing is left behind.
            StoreFailed: the store is closed, or damaged.
        """
        if self._closed:
            raise StoreFailed("the frame store is closed")
        done: asyncio.Future[_Result] = self._loop.create_future()
        self._queue.put(_Write(work, num_bytes, done))
        return await done

    async def close(self) -> None:
        """Finish what has come, and end the thread."""
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
            self._upkeep.step()

    def _gather(self) -> _Group:
        writes: list[_Write[Any]] = []
        num_bytes = 0
        wait, deadline = self._upkeep.seconds_to_next(), float("inf")
        while len(writes) < _GROUP_WRITES and num_bytes < _GROUP_BYTES:
            try:
                write = self._queue.get(timeout=wait)
            except Empty:
                break
            if write is None:
                return _Group(writes, is_last=True)
            writes.append(write)
            num_bytes += write.num_bytes
            now = time.monotonic()
            deadline = min(deadline, now + _GROUP_SECONDS)
            wait = max(0.0, min(_QUIET_SECONDS, deadline - now))
        return _Group(writes, is_last=False)

    def _commit(self, writes: list[_Write[Any]]) -> list[Any]:
        """Return the result of each write, or its error."""
        error: Exception
        try:
            before = self._db.total_changes
            with transaction(self._db, "IMMEDIATE"):
                self._room.measure(self._db)
                outcomes = [self._outcome(write) for write in writes]
            self._committed(self._db)
            if self._db.total_changes > before:
                COMMIT_WRITES.observe(len(writes))
        except (sqlite3.Error, OSError) as failure:
            error = self._refusal(failure)
            error.__cause__ = failure
        except Exception as mistake:  # noqa: BLE001 - the outermost layer of a thread
            error = mistake
        else:
            return outcomes
        return [error] * len(writes)

    def _refusal(self, failure: sqlite3.Error | OSError) -> StoreError:
        if isinstance(failure, sqlite3.Error) and is_damage(failure):
            # Not StoreDamaged: senders would take what they send for damaged, and send it no more.
            return StoreFailed(f"the frame store is damaged, and takes nothing: {failure}")
        return self._room.refuse_all(f"the frame store cannot write: {failure}")

    def _outcome(self, write: _Write[Any]) -> Any:
        try:
            return write.work(self._db)
        except StoreError as refusal:
            return refusal

    def _finish(self, writes: list[_Write[Any]], outcomes: list[Any]) -> None:
        def answer() -> None:
            for write, outcome in zip(writes, outcomes, strict=True):
                if write.done.done():  # its caller gave up
                    continue
                if isinstance(outcome, Exception):
                    write.done.set_exception(outcome)
                else:
                    write.done.set_result(outcome)

        # One turn of the loop for the whole group.
        self._loop.call_soon_threadsafe(answer)
