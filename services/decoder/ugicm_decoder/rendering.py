"""Turn a stream into the pictures that one request asks for, off the event loop."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ugicm.v1 import decoder_pb2
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.pictures import check_pixel_format, pixels_to_bytes
from ugicm_servicekit.wire import view_from_wire
from ugicm_servicekit.work import Workers

if TYPE_CHECKING:
    from ugicm_codec import Codec, Latents

__all__ = ["Order", "Rendered", "Times", "order_from_wire", "render"]


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


async def render(
    codec: Codec, stream: bytes, order: Order, *, workers: Workers, times: Times
) -> AsyncGenerator[Rendered]:
    """Yield the pictures one by one, each computed when the one before was taken.

    The latents are decoded once. Views are synthesised one at a time, as ``Codec.decode_views``
    does, so that pixels do not depend on which other views a request names; a slow reader holds
    one picture. ``times`` is added to.

    Raises:
        CodecError: the stream cannot be decoded.
        Overloaded: too much waits already.
    """
    latents: Latents | None = None

    def work(view: float) -> tuple[Latents, Rendered]:
        started = time.perf_counter()
        known = latents or codec.decode_latents(stream)
        decoded = time.perf_counter()
        pixels = codec.synthesise([known], [view])[0]
        synthesised = time.perf_counter()
        data = pixels_to_bytes(pixels, order.pixel_format, jpeg_quality=order.jpeg_quality)
        written = time.perf_counter()
        times.latents += decoded - started
        times.synthesis += synthesised - decoded
        times.picture += written - synthesised
        height, width, _ = pixels.shape
        return known, Rendered(view, height, width, data)

    for view in order.views:
        done = await workers.timed(work, view)
        times.queue += done.queue_seconds
        latents, rendered = done.value
        yield rendered
