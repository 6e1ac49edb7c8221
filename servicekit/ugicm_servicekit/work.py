"""Run blocking work off the event loop, behind a bounded queue."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from ugicm_servicekit.clients import client_name
from ugicm_servicekit.errors import Overloaded
from ugicm_servicekit.metrics import QUEUED_WORK
from ugicm_servicekit.stages import stage
from ugicm_servicekit.turns import Turns

__all__ = ["Done", "Workers"]

P = ParamSpec("P")
T = TypeVar("T")

# How much the newest run counts in the average that retry hints are made of.
_NEWEST_WEIGHT = 0.2


@dataclass(frozen=True)
class Done(Generic[T]):
    """A result and what it took."""

    value: T
    queue_seconds: float
    run_seconds: float


class Workers:
    """Threads for blocking work, with a bounded queue before them.

    Work that waits belongs to its call: a call that is cancelled, or whose deadline passes, takes
    its work out of the queue before it runs. Work that runs cannot be stopped and keeps its thread.

    Clients whose work waits take turns. Where the queue is full, the client with the most in it
    gives up its newest place to one that has fewer.

    Args:
        threads: how many run at once.
        max_queued: how many may wait; one more is refused.
        name: of the threads.
    """

    def __init__(self, *, threads: int, max_queued: int, name: str) -> None:
        self._threads = threads
        self._max_queued = max_queued
        self._name = name
        self._mean_seconds = 0.0
        self._turns = Turns(threads)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        QUEUED_WORK.labels(name).set_function(lambda: self._turns.waiting)

    @property
    def queue_length(self) -> int:
        """How many calls wait for a thread."""
        return self._turns.waiting

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what ``function`` returns, called in a thread with the caller's context variables.

        Raises:
            Overloaded: the queue is full.
        """
        return (await self.timed(function, *args, **kwargs)).value

    async def timed(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Done[T]:
        """Do as ``run`` does, and tell how long the work waited and ran.

        Raises:
            Overloaded: the queue is full.
        """
        queued = self._turns.waiting
        if self._turns.locked and queued >= self._max_queued:
            wait = self._mean_seconds * (queued + 1) / self._threads
            refusal = Overloaded(
                f"{queued} calls wait for {self._name} already, the most allowed",
                retry_after_seconds=max(wait, 0.1),
            )
            if not self._turns.drop_for(client_name(), refusal):
                raise refusal
        arrived = time.perf_counter()
        with stage("queue"):
            await self._turns.acquire(client_name(), may_be_dropped=True)
        return await self._in_thread(arrived, function, *args, **kwargs)

    async def timed_further(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Done[T]:
        """Do as ``timed`` does for a call that was let in before: it waits, however many do."""
        arrived = time.perf_counter()
        with stage("queue"):
            await self._turns.acquire(client_name())
        return await self._in_thread(arrived, function, *args, **kwargs)

    async def _in_thread(
        self, arrived: float, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Done[T]:
        loop = asyncio.get_running_loop()

        def work() -> Done[T]:
            started = time.perf_counter()
            value = function(*args, **kwargs)
            return Done(value, started - arrived, time.perf_counter() - started)

        def give_back(_: Future[Any]) -> None:
            loop.call_soon_threadsafe(self._turns.release)

        future = self._executor.submit(contextvars.copy_context().run, work)
        # Not in a finally: a cancelled call leaves, but its thread is taken until the work ends.
        future.add_done_callback(give_back)
        done = await asyncio.wrap_future(future)
        self._mean_seconds += _NEWEST_WEIGHT * (done.run_seconds - self._mean_seconds)
        return done

    def close(self) -> None:
        """Wait for the work that runs, and free the threads."""
        self._executor.shutdown()
