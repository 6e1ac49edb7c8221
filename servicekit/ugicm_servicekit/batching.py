"""Gather items of equal size into batches, which one thread computes one after the other."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from ugicm_servicekit.clients import client_name
from ugicm_servicekit.stages import stage
from ugicm_servicekit.work import Done

__all__ = ["BatchLimits", "Batcher"]

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """When a batch is full, and how long it is waited for.

    Attributes:
        max_items: in one batch.
        max_pixels: of all items of one batch; a larger item is a batch of its own.
        delay_seconds: how long an item waits at most for others that are on their way.
    """

    max_items: int
    max_pixels: int
    delay_seconds: float

    def is_full(self, num_items: int, pixels: int) -> bool:
        """Tell whether one more item of ``pixels`` is too many for ``num_items`` of that size."""
        return num_items >= self.max_items or (num_items + 1) * pixels > self.max_pixels

    def places(self, pixels: int) -> int:
        """Return how much of a batch an item of that size is, in ``max_items``-ths."""
        return max(1, min(self.max_items, -(-pixels * self.max_items // self.max_pixels)))


@dataclass(eq=False)
class _Waiting(Generic[Item, Result]):
    item: Item
    bucket: Hashable
    pixels: int
    client: str
    arrived: float
    begun: asyncio.Future[None]
    done: asyncio.Future[Done[Result]]


class Batcher(Generic[Item, Result]):
    """Computes items in batches; used on one event loop.

    What waits while a batch is computed makes up the next ones. An item that comes while nothing
    is computed is begun at once, unless others have been announced: then it waits for them, for
    a short time. Every client's first item comes before any client's second. Items whose caller
    is cancelled are left out.

    Args:
        compute: returns one result for each of some items of one bucket; runs in the thread. Where
            it raises, each item is computed alone, so that only those fail that cannot succeed.
        limits: on batches.
        name: of the thread, and of the stage that callers see.
        begun: given each batch as it begins, on the loop.
        retried: given each item that is computed again, alone, as it begins, in the thread.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        limits: BatchLimits,
        name: str,
        begun: Callable[[Sequence[Item]], None] = lambda _: None,
        retried: Callable[[Item], None] = lambda _: None,
    ) -> None:
        self._compute = compute
        self._limits = limits
        self._name = name
        self._begun = begun
        self._retried = retried
        self._waiting: list[_Waiting[Item, Result]] = []
        self._num_announced = 0
        self._is_busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    @property
    def queue_length(self) -> int:
        """How many items wait for their batch."""
        return len(self._waiting)

    async def run(self, item: Item, *, bucket: Hashable, pixels: int) -> Done[Result]:
        """Return the item's result, what it waited for its batch, and what the batch took.

        Args:
            item: what to compute.
            bucket: items with equal ones may share a batch.
            pixels: of the item; about the same for all of its bucket.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting[Item, Result](
            item,
            bucket,
            pixels,
            client_name(),
            time.perf_counter(),
            loop.create_future(),
            loop.create_future(),
        )
        self._waiting.append(waiting)
        self._begin_if_due()
        try:
            with stage("batch"):
                await waiting.begun
            with stage(self._name):
                return await waiting.done
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    @contextmanager
    def announced(self) -> Iterator[None]:
        """Let items that wait for a fuller batch know that another is on its way."""
        self._num_announced += 1
        try:
            yield
        finally:
            self._num_announced -= 1
            # Not at once: the announced item itself comes first.
            asyncio.get_running_loop().call_soon(self._begin_if_due)

    def close(self) -> None:
        """Wait for the batch that is computed, and free the thread."""
        self._executor.shutdown()

    def _begin_if_due(self) -> None:
        if self._is_busy or not self._waiting:
            return
        batch = self._next_batch()
        if self._num_announced and not self._limits.is_full(len(batch), batch[0].pixels):
            oldest = min(waiting.arrived for waiting in batch)
            left = oldest + self._limits.delay_seconds - time.perf_counter()
            if left > 0:
                self._look_again(left)
                return
        self._begin(batch)

    def _look_again(self, seconds: float) -> None:
        if self._timer is None:

            def look() -> None:
                self._timer = None
                self._begin_if_due()

            self._timer = asyncio.get_running_loop().call_later(seconds, look)

    def _next_batch(self) -> list[_Waiting[Item, Result]]:
        numbers: Counter[str] = Counter()
        turns = {}
        for waiting in self._waiting:
            turns[waiting] = numbers[waiting.client]
            numbers[waiting.client] += 1
        # The sort keeps the order of arrival within a turn.
        first, *others = sorted(self._waiting, key=turns.__getitem__)
        batch = [first]
        for waiting in others:
            if self._limits.is_full(len(batch), first.pixels):
                break
            if waiting.bucket == first.bucket:
                batch.append(waiting)
        return batch

    def _begin(self, batch: list[_Waiting[Item, Result]]) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_busy = True
        items = [waiting.item for waiting in batch]
        self._begun(items)
        began = time.perf_counter()
        for waiting in batch:
            self._waiting.remove(waiting)
            if not waiting.begun.done():  # else its caller has just been cancelled
                waiting.begun.set_result(None)

        def finish(computing: asyncio.Future[list[Result | Exception]]) -> None:
            self._is_busy = False
            seconds = time.perf_counter() - began
            for waiting, outcome in zip(batch, computing.result(), strict=True):
                if waiting.done.done():
                    continue
                if isinstance(outcome, Exception):
                    waiting.done.set_exception(outcome)
                else:
                    waiting.done.set_result(Done(outcome, began - waiting.arrived, seconds))
            self._begin_if_due()

        loop = asyncio.get_running_loop()
        loop.run_in_executor(self._executor, self._outcomes, items).add_done_callback(finish)

    def _outcomes(self, items: Sequence[Item]) -> list[Result | Exception]:
        try:
            return list(self._compute(items))
        except Exception as error:  # noqa: BLE001 - the outermost layer of an item
            if len(items) == 1:
                return [error]
            return [self._outcome_alone(item) for item in items]

    def _outcome_alone(self, item: Item) -> Result | Exception:
        self._retried(item)
        return self._outcomes([item])[0]
