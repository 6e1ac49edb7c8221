"""Compute what several ask for at once only once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Flights"]

Value = TypeVar("Value")


@dataclass(eq=False)
class _Flight(Generic[Value]):
    """A computation under way, and how many wait for it."""

    task: asyncio.Task[Value]
    num_waiting: int = 0


class Flights(Generic[Value]):
    """Computations under way, by key; nothing is kept once one has ended.

    Used on one event loop. Whoever waits for what fails gets the error.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[Value]] = {}

    def __contains__(self, key: Hashable) -> bool:
        """Tell whether somebody waits for the value."""
        return key in self._flights

    async def get(self, key: Hashable, compute: Callable[[], Awaitable[Value]]) -> Value:
        """Return what is being computed for somebody else, or is computed now.

        A computation is cancelled when everybody who waits for it has been.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = _Flight(asyncio.create_task(_awaited(compute)))
            self._flights[key] = flight
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


async def _awaited(compute: Callable[[], Awaitable[Value]]) -> Value:
    return await compute()
