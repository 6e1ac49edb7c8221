"""Answer a stream of requests in order, working on a bounded number of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import Any, TypeVar

from ugicm_servicekit.errors import Stopping

__all__ = ["in_order"]

_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")


async def in_order(
    requests: AsyncIterable[_Request],
    answer: Callable[[_Request], Awaitable[_Answer]],
    *,
    ahead: int,
    stopping: asyncio.Event,
) -> AsyncGenerator[_Answer]:
    """Yield the answer to each request, in the order of the requests.

    Args:
        requests: read only as far as ``ahead`` allows, so that a slow reader slows the writer.
        answer: begun in the order of the requests; several may run at once.
        ahead: how many requests may be read and not yet answered.
        stopping: once set, no more is read; what was read is still answered.

    Raises:
        Stopping: after the last answer, where ``stopping`` cut the requests off.
    """
    answers: asyncio.Queue[asyncio.Future[_Answer] | None] = asyncio.Queue()
    room = asyncio.Semaphore(ahead - 1)

    async def read() -> None:
        try:
            async for request in requests:
                answers.put_nowait(asyncio.ensure_future(answer(request)))
                await room.acquire()
        finally:
            answers.put_nowait(None)

    async def stop() -> None:
        await stopping.wait()
        reading.cancel()

    reading = asyncio.create_task(read())
    stop_watch = asyncio.create_task(stop())
    try:
        while (next_answer := await answers.get()) is not None:
            yield await next_answer
            room.release()
        await asyncio.wait([reading])
        if reading.cancelled():
            raise Stopping("the service is stopping; what was not answered was not taken")
        reading.result()
    finally:
        unfinished: list[asyncio.Future[Any]] = [reading, stop_watch]
        while not answers.empty():
            unfinished += filter(None, [answers.get_nowait()])
        for future in unfinished:
            future.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
