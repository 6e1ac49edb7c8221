"""Keep what was computed last, and compute what several ask for at once only once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from ugicm_decoder.metrics import CACHE_BYTES, CACHE_LOOKUPS
from ugicm_servicekit.flights import Flights

__all__ = ["Cache"]

Value = TypeVar("Value")


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
        self._flights: Flights[Value] = Flights()
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
        (self._joins if key in self._flights else self._misses).inc()
        return await self._flights.get(key, lambda: self._compute(key, compute))

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
