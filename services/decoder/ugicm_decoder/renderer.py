"""From streams to pictures, with everything that requests can share: threads, batches, caches."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

from ugicm_codec.threads import CODING_PIXELS, TRANSFORM_PIXELS, at_most, threads_for
from ugicm_decoder.cache import Cache
from ugicm_decoder.metrics import BATCH_VIEWS
from ugicm_servicekit.admission import Admission, Entry
from ugicm_servicekit.batching import Batcher, BatchLimits
from ugicm_servicekit.clients import client_name
from ugicm_servicekit.pictures import Pixels
from ugicm_servicekit.stages import stage
from ugicm_servicekit.turns import Turns

if TYPE_CHECKING:
    from ugicm_codec import Codec, Latents

__all__ = ["Renderer", "Source", "Times"]

_Value = TypeVar("_Value")

# Batches' worth of pictures under way: one is read, one is synthesised, one is written.
_BATCHES_UNDER_WAY = 3


@dataclass(eq=False)
class Source:
    """What one request decodes.

    Attributes:
        codec: to decode with.
        stream: of a picture.
        pixels: of the picture, as the stream's header declares.
        latents: of the stream, once they were decoded for this request.
    """

    codec: Codec
    stream: bytes = field(repr=False)
    pixels: int
    latents: Latents | None = field(default=None, repr=False)

    @cached_property
    def key(self) -> tuple[bytes, str]:
        """What decides, with a view, what a picture looks like."""
        return sha256(self.stream).digest(), self.codec.model.sha256


@dataclass
class Times:
    """Seconds spent on one request so far."""

    queue: float = 0.0
    latents: float = 0.0
    synthesis: float = 0.0
    picture: float = 0.0

    @property
    def working(self) -> float:
        """All but the waiting."""
        return self.latents + self.synthesis + self.picture


@dataclass(frozen=True)
class _Item:
    codec: Codec
    latents: Latents
    view: float
    pixels: int


class Renderer:
    """Decodes latents on threads while a batch of earlier ones is synthesised on another.

    At most three batches of pictures are under way; what comes beyond waits in a bounded queue,
    in which clients take turns, and holds nothing but its stream.

    Args:
        threads: for decoding latents and writing pictures.
        in_company: how many pictures of one client are inside while others ask too; a large picture
            counts for several.
        max_queued: how many calls may wait.
        limits: on batches.
        latents_cache_bytes: of decoded latents that are kept.
        views_cache_bytes: of pixels that are kept.
    """

    def __init__(
        self,
        *,
        threads: int,
        in_company: int,
        max_queued: int,
        limits: BatchLimits,
        latents_cache_bytes: int,
        views_cache_bytes: int,
    ) -> None:
        self._limits = limits
        self._admission = Admission(
            places=_BATCHES_UNDER_WAY * limits.max_items,
            in_company=in_company,
            max_queued=max_queued,
            name="decoding",
        )
        self._turns = Turns(threads)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="decoding")
        self._batcher = Batcher(
            _synthesise,
            limits=limits,
            name="synthesis",
            begun=lambda views: BATCH_VIEWS.observe(len(views)),
        )
        self._latents: Cache[Latents] = Cache(
            "latents", latents_cache_bytes, lambda one: one.num_bytes
        )
        self._views: Cache[Pixels] = Cache("views", views_cache_bytes, lambda one: one.nbytes)

    @property
    def queue_length(self) -> int:
        """How many calls wait to be let in."""
        return self._admission.queue_length

    def check_room(self) -> None:
        """See that a new call may wait, before its stream is read.

        Raises:
            Overloaded: too many wait already.
        """
        self._admission.check()

    @asynccontextmanager
    async def admitted(self, source: Source) -> AsyncIterator[None]:
        """Let a new call work inside.

        Raises:
            Overloaded: too many wait already.
        """
        entry = await self._admission.enter(self._limits.places(source.pixels))
        async with self._inside(entry):
            yield

    @asynccontextmanager
    async def admitted_again(self, source: Source) -> AsyncIterator[None]:
        """Let a call work inside that was let in before: it waits, however many do."""
        entry = await self._admission.enter_again(self._limits.places(source.pixels))
        async with self._inside(entry):
            yield

    async def latents(self, source: Source, times: Times) -> Latents:
        """Return the stream's latents: kept, or decoded once for all who ask meanwhile.

        Raises:
            CodecError: the stream cannot be decoded.
        """

        async def decode() -> Latents:
            return await self.in_thread(decode_in_thread)

        def decode_in_thread() -> Latents:
            started = time.perf_counter()
            threads = threads_for(source.pixels, CODING_PIXELS)
            with stage("latents"), at_most(threads):
                latents = source.codec.decode_latents(source.stream)
            times.latents += time.perf_counter() - started
            return latents

        return await self._latents.get(source.key, decode)

    async def view(self, source: Source, view: float, times: Times) -> Pixels:
        """Return the pixels of one view: kept, or synthesised once for all who ask meanwhile.

        Raises:
            CodecError: the stream cannot be decoded.
        """

        async def synthesise() -> Pixels:
            with self._batcher.announced():
                latents = source.latents or await self.latents(source, times)
                # For the request's other views, whatever the cache keeps.
                source.latents = latents
            done = await self._batcher.run(
                _Item(source.codec, latents, view, source.pixels),
                bucket=(source.codec, latents.integers.shape),
                pixels=source.pixels,
            )
            times.synthesis += done.run_seconds
            return done.value

        return await self._views.get((*source.key, view), synthesise)

    async def in_thread(self, function: Callable[[], _Value]) -> _Value:
        """Return what ``function`` returns, called with the caller's context variables.

        Clients take turns. A caller that is cancelled before a thread is free takes its work back.
        """
        loop, turns, client = asyncio.get_running_loop(), self._turns, client_name()
        await turns.acquire(client)
        future = self._executor.submit(contextvars.copy_context().run, function)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(turns.release, client))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for the work that runs, and free the threads."""
        self._executor.shutdown()
        self._batcher.close()

    @asynccontextmanager
    async def _inside(self, entry: Entry) -> AsyncIterator[None]:
        entered = time.perf_counter()
        try:
            yield
            self._admission.note(entry.places * (time.perf_counter() - entered))
        finally:
            self._admission.leave(entry)


def _synthesise(items: Sequence[_Item]) -> list[Pixels]:
    threads = threads_for(sum(item.pixels for item in items), TRANSFORM_PIXELS)
    with at_most(threads):
        return items[0].codec.synthesise(
            [item.latents for item in items], [item.view for item in items]
        )
