"""Let one thing of an epoch be stored at a time, in the order of asking."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from ugicm_decoder.errors import StoreFailed, StoreFull, StoreLost

__all__ = ["Turns"]


class Turns:
    """Turns by camera and epoch.

    Once something was refused, what is new of its epoch is refused for a while: what a sender had
    under way behind it would otherwise be stored before it.

    Args:
        retry_seconds: how long.
    """

    def __init__(self, retry_seconds: float) -> None:
        self._retry_seconds = retry_seconds
        self._locks: WeakValueDictionary[tuple[str, int], asyncio.Lock] = WeakValueDictionary()
        # Until when, by camera and epoch; what ends first comes first.
        self._refused: dict[tuple[str, int], float] = {}

    @asynccontextmanager
    async def of(self, camera: str, epoch: int) -> AsyncIterator[None]:
        """Wait for one's turn.

        Raises:
            StoreFailed: what came before was refused a moment ago.
        """
        epoch_of_camera = (camera, epoch)
        lock = self._locks.setdefault(epoch_of_camera, asyncio.Lock())
        async with lock:
            now = time.monotonic()
            while self._refused and next(iter(self._refused.values())) <= now:
                del self._refused[next(iter(self._refused))]
            if epoch_of_camera in self._refused:
                raise StoreFailed(
                    f"the frame store did not take what came before of {camera}/{epoch}",
                    retry_after_seconds=self._retry_seconds,
                )
            try:
                yield
            except (StoreFailed, StoreFull, StoreLost):
                self._refused[epoch_of_camera] = time.monotonic() + self._retry_seconds
                raise
