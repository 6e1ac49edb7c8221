"""Let so much work in at once, let so many calls wait, and refuse the rest."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from ugicm_servicekit.clients import client_name
from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.metrics import QUEUED_WORK
from ugicm_servicekit.stages import stage
from ugicm_servicekit.turns import Turns

__all__ = ["Admission", "Entry"]

# How much the newest work counts in the average that retry hints are made of.
_NEWEST_WEIGHT = 0.2


@dataclass(frozen=True)
class Entry:
    """Places that a call has until it leaves, and the seconds that it waited for them."""

    client: str
    places: int
    waited_seconds: float


class Admission:
    """A number of places for work, behind a bounded queue.

    Clients whose work waits take turns. Where the queue is full, the client with the most in it
    gives up its newest place to one that has fewer. Whoever is cancelled while it waits leaves.
    While several clients ask, each has few places at a time, as ``Turns`` says.

    Args:
        places: how many there are; work may take several.
        in_company: how many of them one client may have while others ask too.
        max_queued: how many calls may wait; one more is refused.
        name: of the work, such as ``decoding``.
        uniform: returns a number drawn evenly between its two arguments.
    """

    def __init__(
        self,
        *,
        places: int,
        in_company: int,
        max_queued: int,
        name: str,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._places = places
        self._max_queued = max_queued
        self._name = name
        self._mean_seconds = 0.0
        self._uniform = uniform
        # Half of the queue, which nobody fills who waits for answers before asking for more.
        self._turns = Turns(places, in_company=in_company, flood=max(1, max_queued // 2))
        QUEUED_WORK.labels(name).set_function(lambda: self._turns.waiting)

    @property
    def queue_length(self) -> int:
        """How many calls wait."""
        return self._turns.waiting

    @property
    def places_taken(self) -> int:
        """How many places calls have."""
        return self._turns.held

    async def enter(self, places: int = 1) -> Entry:
        """Wait for places, which ``leave`` gives back.

        Raises:
            Overloaded: the queue is full.
        """
        client = client_name()
        if self._is_full(client, places) and not self._turns.drop_for(client, self._refusal):
            raise self._refusal(client)
        return await self._wait(client, places, may_be_dropped=True)

    def check(self) -> None:
        """See that ``enter`` would let the running call wait, before anything is done for it.

        Raises:
            Overloaded: the queue is full.
        """
        client = client_name()
        if self._is_full(client, 1) and not self._turns.can_drop_for(client):
            raise self._refusal(client)

    async def enter_again(self, places: int = 1) -> Entry:
        """Do as ``enter`` does for a call that was let in before: it waits, however many do."""
        return await self._wait(client_name(), places, may_be_dropped=False)

    def leave(self, entry: Entry) -> None:
        """Give the places back."""
        self._turns.release(entry.client, entry.places)

    def note(self, place_seconds: float) -> None:
        """Say what work took that succeeded: how long it had its places, times their number."""
        self._mean_seconds += _NEWEST_WEIGHT * (place_seconds - self._mean_seconds)

    def _is_full(self, client: str, places: int) -> bool:
        return self.queue_length >= self._max_queued and not self._turns.has_room(client, places)

    def _refusal(self, client: str) -> Overloaded:
        # It may find room once what waits now is done: its own, or everybody's.
        mean = self._mean_seconds
        own = mean * (self._turns.waiting_of(client) + 1) / self._turns.share_of(client)
        own += self._turns.rests_of(client, mean)
        everybody = mean * (self._turns.waiting + 1) / self._places
        wait = max(own, everybody, 0.1)
        # Those who are refused together do not come back together.
        return Overloaded(
            f"{self.queue_length} calls wait for {self._name} already, the most allowed",
            retry_after_seconds=self._uniform(wait, 2 * wait),
        )

    async def _wait(self, client: str, places: int, *, may_be_dropped: bool) -> Entry:
        arrived = time.perf_counter()
        with stage("queue"):
            await self._turns.acquire(client, places, may_be_dropped=may_be_dropped)
        return Entry(client, places, time.perf_counter() - arrived)
