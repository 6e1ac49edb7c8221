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

__all__ = ["Decoded", "DecodedFile", "assemble", "assemble_file"]


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


@dataclass(frozen=True)
class DecodedFile:
    """One view of one stream, as a picture file.

    Attributes:
        start: what was decoded, and by which model.
        data: the file.
        statistics: where the decoder spent its time.
    """

    start: decoder_pb2.DecodeStart
    data: bytes
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
    return Decoded(start, images, await _end(coming))


async def assemble_file(
    parts: AsyncIterable[decoder_pb2.DecodeResponse],
    *,
    view: float,
    pixel_format: int,
    limits: Limits,
) -> DecodedFile:
    """Return what the parts of one answer of ``Decode`` make up, without reading the file.

    Args:
        parts: the answer, to its end.
        view: the only one of the request.
        pixel_format: the request's, of ``ugicm.v1.PixelFormat``, that of a file.
        limits: bounds on the picture; its file may have twice the bytes of its pixels.

    Raises:
        BadAnswer: the parts are not those of the contract.
        ImageTooLarge: the picture exceeds ``limits``.
    """
    coming = aiter(parts)
    start = (await _next(coming, "start")).start
    picture = (await _next(coming, "picture")).picture
    check_size(picture.height, picture.width, limits)
    # Noise makes a lossless file larger than its pixels, and one of few pixels is mostly headers.
    most = 6 * picture.height * picture.width + 2**16
    if (picture.format, picture.view) != (pixel_format, view) or not 0 < picture.num_bytes <= most:
        raise BadAnswer(
            f"expected a file of view {view:g} in format {pixel_format} of at most {most} bytes, "
            f"got {picture.num_bytes} bytes of view {picture.view:g} in format {picture.format}"
        )
    data = await _chunks(coming, picture.num_bytes)
    return DecodedFile(start, bytes(data), await _end(coming))


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
    data = await _chunks(parts, num_bytes)
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


async def _chunks(parts: AsyncIterator[decoder_pb2.DecodeResponse], num_bytes: int) -> bytearray:
    data = bytearray()
    while len(data) < num_bytes:
        data += (await _next(parts, "chunk")).chunk
    if len(data) > num_bytes:
        raise BadAnswer(f"a picture of {num_bytes} bytes came in {len(data)}")
    return data


async def _end(
    parts: AsyncIterator[decoder_pb2.DecodeResponse],
) -> decoder_pb2.DecodeStatistics:
    statistics = (await _next(parts, "statistics")).statistics
    async for _ in parts:
        raise BadAnswer("more parts follow the statistics")
    return statistics


async def _next(
    parts: AsyncIterator[decoder_pb2.DecodeResponse],
    kind: Literal["start", "picture", "chunk", "statistics"],
) -> decoder_pb2.DecodeResponse:
    part = await anext(parts, None)
    got = "the end" if part is None else part.WhichOneof("part") or "an empty part"
    if part is None or got != kind:
        raise BadAnswer(f"expected {kind}, got {got}")
    return part
