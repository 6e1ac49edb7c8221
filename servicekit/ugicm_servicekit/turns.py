"""Hand out a number of places, to waiting clients in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from ugicm_servicekit.errors import Overloaded

__all__ = ["Turns"]

_Waiter = asyncio.Future[None]


class Turns:
    """A semaphore whose waiters take turns by client, so that a flood waits behind itself.

    A waiter may need several places, at most as many as there are. Nobody overtakes the one whose
    turn it is: many that need few never keep out one that needs many.

    Args:
        places: how many there are.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        # Each client's waiters in their order; the client at the front is served next.
        self._waiting: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._places: dict[_Waiter, int] = {}
        self._may_be_dropped: set[_Waiter] = set()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def locked(self) -> bool:
        """Whether the next one has to wait, if it needs one place."""
        return not self.has_room(1)

    def has_room(self, places: int) -> bool:
        """Tell whether ``acquire`` would not wait."""
        return not self._waiting and self._free >= places

    def waiting_of(self, client: str) -> int:
        """Return how many of one client wait."""
        return len(self._waiting.get(client, ()))

    async def acquire(self, client: str, places: int = 1, *, may_be_dropped: bool = False) -> None:
        """Wait for places; ``release`` gives them back.

        Raises:
            Overloaded: as ``drop_for`` says.
        """
        if self.has_room(places):
            self._free -= places
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(future)
        self._places[future] = places
        if may_be_dropped:
            self._may_be_dropped.add(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.release(places)  # they came too late
            else:
                self._forget(client, future)
                self._let_in()
            raise
        finally:
            self._places.pop(future, None)
            self._may_be_dropped.discard(future)

    def release(self, places: int = 1) -> None:
        """Give places back: to the clients that wait, in turn."""
        self._free += places
        self._let_in()

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

    def _let_in(self) -> None:
        while self._waiting:
            client, futures = next(iter(self._waiting.items()))
            future = futures[0]
            if not future.done():  # else cancelled, and not yet told
                if self._places[future] > self._free:
                    return
                self._free -= self._places[future]
                future.set_result(None)
            futures.popleft()
            if futures:
                self._waiting.move_to_end(client)
            else:
                del self._waiting[client]

    def _forget(self, client: str, future: _Waiter) -> None:
        futures = self._waiting.get(client)
        if futures is not None and future in futures:
            futures.remove(future)
            if not futures:
                del self._waiting[client]
