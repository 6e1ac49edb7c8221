"""Turn a stream into the pictures that one request asks for, off the event loop."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ugicm.v1 import decoder_pb2
from ugicm_decoder.metrics import PICTURES
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.pictures import check_pixel_format, pixels_to_bytes
from ugicm_servicekit.stages import stage
from ugicm_servicekit.wire import view_from_wire
from ugicm_servicekit.work import Done, Workers

if TYPE_CHECKING:
    from ugicm_codec import Codec, Latents

__all__ = ["Order", "Rendered", "Rendering", "Times", "order_from_wire"]


@dataclass(frozen=True)
class Order:
    """Which pictures a request asks for, and how they are written."""

    views: list[float]
    pixel_format: int
    jpeg_quality: int


@dataclass
class Times:
    """Seconds spent on one request so far."""

    queue: float = 0.0
    latents: float = 0.0
    synthesis: float = 0.0
    picture: float = 0.0


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
    """The pictures of one order, each computed when it is asked for.

    The latents are decoded once. Views are synthesised one at a time, as ``Codec.decode_views``
    does, so that pixels do not depend on which other views a request names.

    Attributes:
        order: what is asked for.
        times: what it took so far.
    """

    def __init__(self, codec: Codec, stream: bytes, order: Order, workers: Workers) -> None:
        self.order = order
        self.times = Times()
        self._codec = codec
        self._stream = stream
        self._workers = workers
        self._latents: Latents | None = None

    async def first(self) -> Rendered:
        """Return the order's first picture.

        Raises:
            CodecError: the stream cannot be decoded.
            Overloaded: too much waits already.
        """
        return self._taken(await self._workers.timed(self._render, self.order.views[0]))

    async def others(self) -> AsyncGenerator[Rendered]:
        """Yield the pictures behind the first; a slow reader holds one of them.

        Raises:
            CodecError: the stream cannot be decoded.
        """
        for view in self.order.views[1:]:
            yield self._taken(await self._workers.timed_further(self._render, view))

    def _taken(self, done: Done[Rendered]) -> Rendered:
        self.times.queue += done.queue_seconds
        return done.value

    def _render(self, view: float) -> Rendered:
        started = time.perf_counter()
        if self._latents is None:
            with stage("latents"):
                self._latents = self._codec.decode_latents(self._stream)
        decoded = time.perf_counter()
        with stage("synthesis"):
            pixels = self._codec.synthesise([self._latents], [view])[0]
        synthesised = time.perf_counter()
        order = self.order
        with stage("picture"):
            data = pixels_to_bytes(pixels, order.pixel_format, jpeg_quality=order.jpeg_quality)
        written = time.perf_counter()
        PICTURES.inc()
        self.times.latents += decoded - started
        self.times.synthesis += synthesised - decoded
        self.times.picture += written - synthesised
        height, width, _ = pixels.shape
        return Rendered(view, height, width, data)
