"""Hand out a number of places, to waiting clients in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from ugicm_servicekit.errors import Overloaded

__all__ = ["Turns"]


class Turns:
    """A semaphore whose waiters take turns by client, so that a flood waits behind itself.

    Args:
        places: how many may hold one at once.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        # Each client's waiters in their order; the client at the front is served next.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._may_be_dropped: set[asyncio.Future[None]] = set()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def locked(self) -> bool:
        """Whether the next one has to wait."""
        return not self._free

    def waiting_of(self, client: str) -> int:
        """Return how many of one client wait."""
        return len(self._waiting.get(client, ()))

    async def acquire(self, client: str, *, may_be_dropped: bool = False) -> None:
        """Wait for a place; ``release`` gives it back.

        Raises:
            Overloaded: as ``drop_for`` says.
        """
        if self._free:
            self._free -= 1
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(future)
        if may_be_dropped:
            self._may_be_dropped.add(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.release()  # it came too late
            else:
                self._forget(client, future)
            raise
        finally:
            self._may_be_dropped.discard(future)

    def release(self) -> None:
        """Give a place back: to the next client's first waiter, if anybody waits."""
        if not self._waiting:
            self._free += 1
            return
        client, futures = next(iter(self._waiting.items()))
        future = futures.popleft()
        if futures:
            self._waiting.move_to_end(client)
        else:
            del self._waiting[client]
        if future.done():  # cancelled, and not yet told
            self.release()
        else:
            future.set_result(None)

    def drop_for(self, client: str, error: Overloaded) -> bool:
        """Make room for one more of ``client``: the newest waiter of whoever has most is refused.

        Returns:
            False where nobody has more waiting than ``client`` would have then.
        """
        for other in sorted(self._waiting, key=self.waiting_of, reverse=True):
            if self.waiting_of(other) <= self.waiting_of(client) + 1:
                break
            for future in reversed(self._waiting[other]):
                if future in self._may_be_dropped and not future.done():
                    self._forget(other, future)
                    future.set_exception(error)
                    return True
        return False

    def _forget(self, client: str, future: asyncio.Future[None]) -> None:
        futures = self._waiting.get(client)
        if futures is not None and future in futures:
            futures.remove(future)
            if not futures:
                del self._waiting[client]
