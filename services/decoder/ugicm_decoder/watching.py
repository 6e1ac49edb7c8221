"""Follow the store from a position on, for as long as a reader wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ugicm_decoder.errors import FrameDamaged, FrameNotFound
from ugicm_decoder.store import Event, Events, FrameRecord, FrameStore, Gap, GapReason
from ugicm_servicekit.errors import Stopping

__all__ = ["Read", "Watched", "read_every", "read_newest", "watch"]

_EVENTS_AT_ONCE = 100

# Reads what a watch reports next, of some cameras, behind a position.
Read: TypeAlias = Callable[[FrameStore, int, Sequence[str]], Awaitable[Events]]


@dataclass(frozen=True)
class Watched:
    """One thing that was stored; ``stream`` is empty unless asked for."""

    position: int
    what: FrameRecord | Gap
    stream: bytes = field(default=b"", repr=False)


async def read_every(store: FrameStore, position: int, cameras: Sequence[str]) -> Events:
    """Read everything, in parts."""
    return await store.events(position, cameras=cameras, limit=_EVENTS_AT_ONCE)


async def read_newest(store: FrameStore, position: int, cameras: Sequence[str]) -> Events:
    """Read the newest frame of each camera, so that each has its turn with a slow reader."""
    return await store.newest_frames(position, cameras=cameras)


async def watch(
    store: FrameStore,
    position: int,
    *,
    read: Read,
    cameras: Sequence[str],
    with_streams: bool,
    stopping: asyncio.Event,
) -> AsyncGenerator[Watched]:
    """Yield what is stored behind ``position``, then what is stored from now on.

    Where streams are wanted, a frame is reported as a gap if its bytes are damaged, or if retention
    has removed it meanwhile.

    Raises:
        Stopping: once ``stopping`` is set.
    """
    while True:
        events = await read(store, position, cameras)
        for event in events.items:
            yield await _with_stream(store, event) if with_streams else _bare(event)
        position = events.position
        await _wait_beyond(store, position, stopping)


def _bare(event: Event) -> Watched:
    return Watched(event.position, event.what)


async def _with_stream(store: FrameStore, event: Event) -> Watched:
    if isinstance(event.what, Gap):
        return _bare(event)
    key = event.what.key
    try:
        frame = await store.get(key)
    except FrameDamaged:
        reason = GapReason.DAMAGED
    except FrameNotFound:
        reason = GapReason.RETENTION
    else:
        return Watched(event.position, event.what, frame.stream)
    gap = Gap(key.camera, key.epoch, key.sequence, key.sequence, reason)
    return Watched(event.position, gap)


async def _wait_beyond(store: FrameStore, position: int, stopping: asyncio.Event) -> None:
    beyond = asyncio.ensure_future(store.wait_beyond(position))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait([beyond, stop], return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            raise Stopping("the decoder is stopping; a watch goes on from its last cursor")
        await beyond
    finally:
        beyond.cancel()
        stop.cancel()
