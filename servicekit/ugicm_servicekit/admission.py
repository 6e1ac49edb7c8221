"""Let so much work in at once, let so many calls wait, and refuse the rest."""

from __future__ import annotations

import time

from ugicm_servicekit.clients import client_name
from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.metrics import QUEUED_WORK
from ugicm_servicekit.stages import stage
from ugicm_servicekit.turns import Turns

__all__ = ["Admission"]

# How much the newest work counts in the average that retry hints are made of.
_NEWEST_WEIGHT = 0.2


class Admission:
    """A number of places for work, behind a bounded queue.

    Clients whose work waits take turns. Where the queue is full, the client with the most in it
    gives up its newest place to one that has fewer. Whoever is cancelled while it waits leaves.

    Args:
        places: how many there are; work may take several.
        max_queued: how many calls may wait; one more is refused.
        name: of the work, such as ``decoding``.
    """

    def __init__(self, *, places: int, max_queued: int, name: str) -> None:
        self._places = places
        self._max_queued = max_queued
        self._name = name
        self._mean_seconds = 0.0
        self._turns = Turns(places)
        QUEUED_WORK.labels(name).set_function(lambda: self._turns.waiting)

    @property
    def queue_length(self) -> int:
        """How many calls wait."""
        return self._turns.waiting

    async def enter(self, places: int = 1) -> float:
        """Wait for places, which ``leave`` gives back, and return how long it took, in seconds.

        Raises:
            Overloaded: the queue is full.
        """
        queued = self._turns.waiting
        if not self._turns.has_room(places) and queued >= self._max_queued:
            wait = self._mean_seconds * (queued + 1) / self._places
            refusal = Overloaded(
                f"{queued} calls wait for {self._name} already, the most allowed",
                retry_after_seconds=max(wait, 0.1),
            )
            if not self._turns.drop_for(client_name(), refusal):
                raise refusal
        return await self._wait(places, may_be_dropped=True)

    async def enter_again(self, places: int = 1) -> float:
        """Do as ``enter`` does for a call that was let in before: it waits, however many do."""
        return await self._wait(places, may_be_dropped=False)

    def leave(self, places: int = 1) -> None:
        """Give the places back."""
        self._turns.release(places)

    def note(self, place_seconds: float) -> None:
        """Say what work took that succeeded: how long it had its places, times their number."""
        self._mean_seconds += _NEWEST_WEIGHT * (place_seconds - self._mean_seconds)

    async def _wait(self, places: int, *, may_be_dropped: bool) -> float:
        arrived = time.perf_counter()
        with stage("queue"):
            await self._turns.acquire(client_name(), places, may_be_dropped=may_be_dropped)
        return time.perf_counter() - arrived
