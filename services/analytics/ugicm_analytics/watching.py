"""Pass over frames that a slow reader has no time for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable

from ugicm.v1.decoder_pb2 import WatchFramesResponse

__all__ = ["newest_of_each_camera"]


async def newest_of_each_camera(
    events: AsyncIterable[WatchFramesResponse],
) -> AsyncGenerator[WatchFramesResponse, None]:
    """Yield of the events that wait only the newest of each camera, in the order of arrival.

    What waits arrived later than what was yielded, so any yielded cursor is safe to go on from.
    The decoder passes over frames too, but not over those that a connection's buffers hold.
    """
    waiting: dict[tuple[str, str], WatchFramesResponse] = {}
    news = asyncio.Event()

    async def read() -> None:
        try:
            async for event in events:
                slot = _slot(event)
                waiting.pop(slot, None)
                waiting[slot] = event
                news.set()
        finally:
            news.set()

    reading = asyncio.create_task(read())
    try:
        while waiting or not reading.done():
            while waiting:
                yield waiting.pop(next(iter(waiting)))
            if not reading.done():
                news.clear()
                await news.wait()
        reading.result()
    finally:
        reading.cancel()
        await asyncio.wait([reading])


def _slot(event: WatchFramesResponse) -> tuple[str, str]:
    if event.WhichOneof("event") == "gap":
        return "gap", event.gap.camera
    return "frame", event.frame.key.camera
