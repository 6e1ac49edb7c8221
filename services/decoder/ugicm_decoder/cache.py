"""Keep what was computed last, and compute what several ask for at once only once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ugicm_decoder.metrics import CACHE_BYTES, CACHE_LOOKUPS

__all__ = ["Cache"]

Value = TypeVar("Value")


@dataclass(eq=False)
class _Flight(Generic[Value]):
    """A computation under way, and how many wait for it."""

    task: asyncio.Task[Value]
    num_waiting: int = 0


class Cache(Generic[Value]):
    """Values by key; the least recently used go where all together exceed a number of bytes.

    Used on one event loop. What fails is not kept: whoever waits for it gets the error.

    Args:
        name: for the metrics.
        max_bytes: of all values; a larger value is not kept, and 0 keeps none.
        size_of: the bytes of one value.
    """

    def __init__(self, name: str, max_bytes: int, size_of: Callable[[Value], int]) -> None:
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._flights: dict[Hashable, _Flight[Value]] = {}
        self._num_bytes = 0
        self._hits, self._joins, self._misses = (
            CACHE_LOOKUPS.labels(name, outcome) for outcome in ("hit", "joined", "miss")
        )
        CACHE_BYTES.labels(name).set_function(lambda: self._num_bytes)

    @property
    def num_bytes(self) -> int:
        """What the kept values take."""
        return self._num_bytes

    def __contains__(self, key: Hashable) -> bool:
        """Tell whether a value is kept."""
        return key in self._values

    async def get(self, key: Hashable, compute: Callable[[], Awaitable[Value]]) -> Value:
        """Return the value of ``key``: kept, being computed for somebody else, or computed now.

        A computation is cancelled when everybody who waits for it has been.
        """
        if key in self._values:
            self._hits.inc()
            self._values.move_to_end(key)
            return self._values[key]
        flight = self._flights.get(key)
        if flight is None:
            self._misses.inc()
            flight = _Flight(asyncio.create_task(self._compute(key, compute)))
            self._flights[key] = flight
        else:
            self._joins.inc()
        flight.num_waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.num_waiting -= 1
            if not flight.num_waiting:
                # Also where it is done; who asks from now on does not join what is given up.
                flight.task.cancel()
                if self._flights.get(key) is flight:
                    del self._flights[key]

    async def _compute(self, key: Hashable, compute: Callable[[], Awaitable[Value]]) -> Value:
        value = await compute()
        self._keep(key, value)
        return value

    def _keep(self, key: Hashable, value: Value) -> None:
        size = self._size_of(value)
        if size > self._max_bytes or key in self._values:
            return
        self._values[key] = value
        self._num_bytes += size
        while self._num_bytes > self._max_bytes:
            _, oldest = self._values.popitem(last=False)
            self._num_bytes -= self._size_of(oldest)
