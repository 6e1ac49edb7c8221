"""Hand out a number of places, to waiting clients in turn."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

from ugicm_servicekit.errors import Overloaded

__all__ = ["RESTS", "Turns"]

_Waiter = asyncio.Future[None]

# How long a flood rests beside one client, in times of its last work.
RESTS = 5

# A client that asked so recently is taken to ask again.
_COMPANY_SECONDS = 10.0


class Turns:
    """A semaphore whose waiters take turns by client, so that a flood waits behind itself.

    A waiter may need several places, at most as many as there are. Nobody overtakes the one whose
    turn it is: many that need few never keep out one that needs many.

    A client alone may have every place. In company, which is while others asked of late, it is
    held to a few, or to those of one waiter that needs more: what has begun cannot be called back,
    and is what others wait for, however fairly turns are taken. Whoever then has a flood of waiters
    rests after its work, ``RESTS`` times as long as that took for each client that waits for
    nothing, 10 s at most: its own processes, and refusals, take of the processor too.

    Args:
        places: how many there are.
        in_company: how many of them one client may have in company; None: all.
        flood: how many waiters of one client are one; None: no number is.
        clock: the time, in seconds.
    """

    def __init__(
        self,
        places: int,
        *,
        in_company: int | None = None,
        flood: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free = places
        self._places_in_all = places
        self._in_company = places if in_company is None else min(in_company, places)
        self._flood = flood
        self._clock = clock
        # Each client's waiters in their order; the client at the front is served next.
        self._waiting: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._places: dict[_Waiter, int] = {}
        self._may_be_dropped: set[_Waiter] = set()
        self._held: Counter[str] = Counter()
        # When the newest work of each client that has some of them began.
        self._began: dict[str, float] = {}
        self._resting: set[str] = set()
        # When each client asked last; the latest is at the end.
        self._asked: OrderedDict[str, float] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def held(self) -> int:
        """How many places somebody has."""
        return self._places_in_all - self._free

    @property
    def locked(self) -> bool:
        """Whether a new client has to wait, if it needs one place."""
        return not self.has_room("")

    def has_room(self, client: str, places: int = 1) -> bool:
        """Tell whether ``acquire`` would not wait."""
        return (
            self._free >= places
            and client not in self._waiting
            and self._may_have(client, places)
            and self._next() is None
        )

    def share_of(self, client: str) -> int:
        """Return how many places one client may have now."""
        has_company = len(self._asked) > (client in self._asked)
        return self._in_company if has_company else self._places_in_all

    def waiting_of(self, client: str) -> int:
        """Return how many of one client wait."""
        return len(self._waiting.get(client, ()))

    def rests_of(self, client: str, worked: float) -> float:
        """Return how many seconds a client will rest, by now, if a work takes ``worked``."""
        waiting = self.waiting_of(client)
        if self._flood is None or waiting < self._flood:
            return 0.0
        # Its last waiters are no flood any more.
        return (1 + waiting - self._flood) * self._rest_seconds(client, worked)

    async def acquire(self, client: str, places: int = 1, *, may_be_dropped: bool = False) -> None:
        """Wait for places; ``release`` gives them back.

        Raises:
            Overloaded: as ``drop_for`` says.
        """
        self._note(client)
        if self.has_room(client, places):
            self._take(client, places)
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
                self.release(client, places)  # they came too late
            else:
                self._forget(client, future)
                self._let_in()
            raise
        finally:
            self._places.pop(future, None)
            self._may_be_dropped.discard(future)
            # A refusal that it holds would hold this frame, and the frame the future.
            del future

    def release(self, client: str, places: int = 1) -> None:
        """Give back what ``client`` had: to the clients that wait, in turn."""
        self._free += places
        self._held[client] -= places
        if self._is_flood(client) and self._patient_beside(client):
            # It begins nothing more; its rest is counted from its last work's end.
            self._resting.add(client)
        if not self._held[client]:
            del self._held[client]
            began = self._began.pop(client)
            if client in self._resting:
                self._rest(client, self._clock() - began)
        self._let_in()

    def drop_for(self, client: str, refusal: Callable[[str], Overloaded]) -> bool:
        """Make room for one more of ``client``: the newest waiter of whoever has most is refused.

        Args:
            client: that may have the room.
            refusal: returns what the client that gives way is told.

        Returns:
            False where nobody has more waiting than ``client`` would have then.
        """
        dropped = self._dropped_for(client)
        if dropped is None:
            return False
        other, future = dropped
        error = refusal(other)
        self._forget(other, future)
        future.set_exception(error)
        return True

    def can_drop_for(self, client: str) -> bool:
        """Tell what ``drop_for`` would return."""
        return self._dropped_for(client) is not None

    def _dropped_for(self, client: str) -> tuple[str, _Waiter] | None:
        for other in sorted(self._waiting, key=self.waiting_of, reverse=True):
            if self.waiting_of(other) <= self.waiting_of(client) + 1:
                break
            for future in reversed(self._waiting[other]):
                if future in self._may_be_dropped and not future.done():
                    return other, future
        return None

    def _note(self, client: str) -> None:
        now = self._clock()
        self._asked[client] = now
        self._asked.move_to_end(client)
        while next(iter(self._asked.values())) < now - _COMPANY_SECONDS:
            self._asked.popitem(last=False)

    def _take(self, client: str, places: int) -> None:
        self._free -= places
        self._held[client] += places
        self._began[client] = self._clock()

    def _is_flood(self, client: str) -> bool:
        return self._flood is not None and self.waiting_of(client) >= self._flood

    def _rest(self, client: str, worked: float) -> None:
        def go_on() -> None:
            self._resting.discard(client)
            self._let_in()

        seconds = self._rest_seconds(client, worked)
        asyncio.get_running_loop().call_later(seconds, go_on)

    def _rest_seconds(self, client: str, worked: float) -> float:
        return min(RESTS * self._patient_beside(client) * worked, _COMPANY_SECONDS)

    def _patient_beside(self, client: str) -> int:
        """Return how many other clients asked of late, and wait for nothing."""
        return sum(other != client and other not in self._waiting for other in self._asked)

    def _may_have(self, client: str, places: int) -> bool:
        """Tell whether the client's share leaves it so many more; the first always passes."""
        held = self._held[client]
        if client in self._resting:
            return False
        return not held or held + places <= self.share_of(client)

    def _next(self) -> str | None:
        """Return whose turn it is; None: nobody waits, but for what its client has itself."""
        for client, futures in self._waiting.items():
            # Who is cancelled has yet to be told, and takes no more.
            if futures[0].done() or self._may_have(client, self._places[futures[0]]):
                return client
        return None

    def _let_in(self) -> None:
        while (client := self._next()) is not None:
            futures = self._waiting[client]
            future = futures[0]
            if not future.done():
                if self._places[future] > self._free:
                    return
                self._take(client, self._places[future])
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
