"""Read on connections of their own, which never wait for a commit."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from ugicm_servicekit.sqlite.connections import transaction

__all__ = ["Readers"]

_Result = TypeVar("_Result")


class Readers:
    """A thread for each connection.

    Args:
        connections: open for reading, and used here only.
        name: of the threads.
        failed: returns what callers are told of what SQLite raised.
    """

    def __init__(
        self,
        connections: Sequence[sqlite3.Connection],
        *,
        name: str,
        failed: Callable[[sqlite3.Error], Exception],
    ) -> None:
        self._failed = failed
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for connection in connections:
            self._idle.put(connection)
        self._threads = ThreadPoolExecutor(len(connections), thread_name_prefix=name)

    async def run(self, select: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Return what ``select`` returns, which sees one state of the database throughout."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._select, select)

    async def close(self) -> None:
        """Finish what is under way, and end the threads; the connections stay open."""
        await asyncio.to_thread(self._threads.shutdown)

    def _select(self, select: Callable[[sqlite3.Connection], _Result]) -> _Result:
        reader = self._idle.get()
        try:
            with transaction(reader, "DEFERRED"):
                return select(reader)
        except sqlite3.Error as error:
            raise self._failed(error) from error
        finally:
            self._idle.put(reader)
