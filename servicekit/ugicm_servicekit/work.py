"""Run blocking work off the event loop, behind a bounded queue."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from ugicm_servicekit.admission import Admission

__all__ = ["Done", "Workers"]

P = ParamSpec("P")
T = TypeVar("T")


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

    Args:
        threads: how many run at once.
        in_company: how many of one client run at once while others ask too.
        max_queued: how many may wait, as ``Admission`` lets them; one more is refused.
        name: of the threads.
    """

    def __init__(self, *, threads: int, in_company: int = 1, max_queued: int, name: str) -> None:
        self._admission = Admission(
            places=threads, in_company=in_company, max_queued=max_queued, name=name
        )
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    @property
    def queue_length(self) -> int:
        """How many calls wait for a thread."""
        return self._admission.queue_length

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
        entry = await self._admission.enter()
        loop = asyncio.get_running_loop()

        def work() -> Done[T]:
            started = time.perf_counter()
            value = function(*args, **kwargs)
            return Done(value, entry.waited_seconds, time.perf_counter() - started)

        def give_back(_: Future[Any]) -> None:
            loop.call_soon_threadsafe(self._admission.leave, entry)

        future = self._executor.submit(contextvars.copy_context().run, work)
        # Not in a finally: a cancelled call leaves, but its thread is taken until the work ends.
        future.add_done_callback(give_back)
        done = await asyncio.wrap_future(future)
        self._admission.note(done.run_seconds)
        return done

    def close(self) -> None:
        """Wait for the work that runs, and free the threads."""
        self._executor.shutdown()
