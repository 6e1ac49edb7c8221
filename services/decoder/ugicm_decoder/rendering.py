"""The pictures that one request asks for, written as it asks for them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from ugicm.v1 import decoder_pb2
from ugicm_decoder.metrics import PICTURES
from ugicm_decoder.renderer import Renderer, Source, Times
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.pictures import Pixels, check_pixel_format, pixels_to_bytes
from ugicm_servicekit.stages import stage
from ugicm_servicekit.wire import view_from_wire

__all__ = ["Order", "Rendered", "Rendering", "order_from_wire"]


@dataclass(frozen=True)
class Order:
    """Which pictures a request asks for, and how they are written."""

    views: list[float]
    pixel_format: int
    jpeg_quality: int


@dataclass(frozen=True)
class Rendered:
    """One view, written in the format of the order."""

    view: float
    height: int
    width: int
    data: bytes = field(repr=False)


def order_from_wire(message: decoder_pb2.DecodeRequest, *, max_views: int) -> Order:
    """Return what is asked for.

    Raises:
        BadRequest: there is no view, or too many, or the format or its quality is unknown.
        BadView: a view is out of range.
    """
    if not 1 <= len(message.views) <= max_views:
        raise BadRequest(f"a request asks for 1 to {max_views} views, got {len(message.views)}")
    check_pixel_format(message.format, jpeg_quality=message.jpeg_quality)
    views = [view_from_wire(view) for view in message.views]
    return Order(views, message.format, message.jpeg_quality)


class Rendering:
    """The pictures of one order, each made when it is asked for.

    The latents are decoded once, if they are not at hand.

    Attributes:
        order: what is asked for.
        times: what it took so far.
    """

    def __init__(self, renderer: Renderer, source: Source, order: Order) -> None:
        self.order = order
        self.times = Times()
        self._renderer = renderer
        self._source = source

    async def first(self) -> Rendered:
        """Return the order's first picture.

        Raises:
            CodecError: the stream cannot be decoded.
            Overloaded: too much waits already.
        """
        return await self._picture(self.order.views[0], self._renderer.admitted)

    async def others(self) -> AsyncGenerator[Rendered]:
        """Yield the pictures behind the first; a slow reader holds one of them.

        Raises:
            CodecError: the stream cannot be decoded.
        """
        for view in self.order.views[1:]:
            yield await self._picture(view, self._renderer.admitted_again)

    async def _picture(
        self, view: float, admitted: Callable[[Source], AbstractAsyncContextManager[None]]
    ) -> Rendered:
        times = self.times
        started, worked = time.perf_counter(), times.working
        async with admitted(self._source):
            pixels = await self._renderer.view(self._source, view, times)
            height, width, _ = pixels.shape
            data = await self._renderer.in_thread(lambda: self._written(pixels))
        PICTURES.inc()
        # Waiting is what was not work: for a place, a thread, a batch, or another request's work.
        times.queue += time.perf_counter() - started - (times.working - worked)
        return Rendered(view, height, width, data)

    def _written(self, pixels: Pixels) -> bytes:
        started = time.perf_counter()
        order = self.order
        with stage("picture"):
            data = pixels_to_bytes(pixels, order.pixel_format, jpeg_quality=order.jpeg_quality)
        self.times.picture += time.perf_counter() - started
        return data
