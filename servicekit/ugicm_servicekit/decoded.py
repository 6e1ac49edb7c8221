"""Put the parts of a decoder's answer together, checking each against what was asked for."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm_codec.limits import Limits
from ugicm_servicekit.errors import BadAnswer
from ugicm_servicekit.pictures import Pixels, check_size

__all__ = ["Decoded", "assemble"]


@dataclass(frozen=True)
class Decoded:
    """The views of one stream.

    Attributes:
        start: what was decoded, and by which model.
        images: one for each view, in the order of the request.
        statistics: where the decoder spent its time.
    """

    start: decoder_pb2.DecodeStart
    images: list[Pixels]
    statistics: decoder_pb2.DecodeStatistics


async def assemble(
    parts: AsyncIterable[decoder_pb2.DecodeResponse], *, views: Sequence[float], limits: Limits
) -> Decoded:
    """Return what the parts of one answer of ``Decode`` make up.

    Args:
        parts: the answer, to its end.
        views: those of the request, whose format was RGB.
        limits: bounds on each picture, checked before its bytes take memory.

    Raises:
        BadAnswer: the parts are not those of the contract.
        ImageTooLarge: a picture exceeds ``limits``.
    """
    coming = aiter(parts)
    start = (await _next(coming, "start")).start
    images = [await _picture(coming, view, limits) for view in views]
    statistics = (await _next(coming, "statistics")).statistics
    async for _ in coming:
        raise BadAnswer("more parts follow the statistics")
    return Decoded(start, images, statistics)


async def _picture(
    parts: AsyncIterator[decoder_pb2.DecodeResponse], view: float, limits: Limits
) -> Pixels:
    picture = (await _next(parts, "picture")).picture
    height, width, num_bytes = picture.height, picture.width, picture.num_bytes
    expected = (types_pb2.PIXEL_FORMAT_RGB, view, 3 * height * width)
    if not num_bytes or (picture.format, picture.view, num_bytes) != expected:
        raise BadAnswer(
            f"expected RGB pixels of view {view:g}, got {height}x{width} of view {picture.view:g} "
            f"in {num_bytes} bytes of format {picture.format}"
        )
    check_size(height, width, limits)
    data = bytearray()
    while len(data) < num_bytes:
        data += (await _next(parts, "chunk")).chunk
    if len(data) > num_bytes:
        raise BadAnswer(f"a picture of {num_bytes} bytes came in {len(data)}")
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


async def _next(
    parts: AsyncIterator[decoder_pb2.DecodeResponse],
    kind: Literal["start", "picture", "chunk", "statistics"],
) -> decoder_pb2.DecodeResponse:
    part = await anext(parts, None)
    got = "the end" if part is None else part.WhichOneof("part") or "an empty part"
    if part is None or got != kind:
        raise BadAnswer(f"expected {kind}, got {got}")
    return part
