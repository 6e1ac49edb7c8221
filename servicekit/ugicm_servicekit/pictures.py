"""Translate pictures between messages and pixels; sizes are checked before files are decoded."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ugicm.v1 import types_pb2
from ugicm_codec.errors import BadImage, ImageTooLarge
from ugicm_codec.limits import Limits
from ugicm_servicekit.errors import BadRequest

__all__ = [
    "UNREADABLE",
    "Pixels",
    "check_pixel_format",
    "check_size",
    "count_pixels",
    "pixels_from_wire",
    "pixels_to_bytes",
]

Pixels: TypeAlias = NDArray[np.uint8]

_PILLOW_NAME: Mapping[int, str] = {
    types_pb2.PIXEL_FORMAT_PNG: "PNG",
    types_pb2.PIXEL_FORMAT_JPEG: "JPEG",
    types_pb2.PIXEL_FORMAT_WEBP: "WEBP",
}
_DEFAULT_JPEG_QUALITY = 90

# What Pillow's readers raise on files that are not what they claim to be, besides its bomb error.
UNREADABLE = (
    EOFError,
    LookupError,
    OSError,
    OverflowError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def pixels_from_wire(picture: types_pb2.Picture, limits: Limits) -> Pixels:
    """Return the pixels of ``picture``, ``(H, W, 3)`` RGB.

    Raises:
        BadRequest: the picture names no format.
        BadImage: the data are not what the format and the size say.
        ImageTooLarge: the size exceeds ``limits``.
    """
    if picture.format == types_pb2.PIXEL_FORMAT_RGB:
        return _raw_pixels(picture, limits)
    with _opened(picture, limits) as image:
        return np.asarray(image.convert("RGB"))


async def count_pixels(picture: types_pb2.Picture, limits: Limits) -> int:
    """Return how many pixels ``picture`` says that it has; files are read up to their header.

    Raises:
        BadRequest: the picture names no format.
        BadImage: the data are not what the format and the size say.
        ImageTooLarge: the size exceeds ``limits``.
    """
    if picture.format == types_pb2.PIXEL_FORMAT_RGB:
        check_size(picture.height, picture.width, limits)
        return picture.height * picture.width
    return await asyncio.to_thread(_count_in_file, picture, limits)


def check_size(height: int, width: int, limits: Limits) -> None:
    """Refuse a picture by its size, before its pixels take memory.

    Raises:
        BadImage: it has no pixels.
        ImageTooLarge: the size exceeds ``limits``.
    """
    if height < 1 or width < 1:
        raise BadImage(f"a picture has at least 1x1 pixels, got {height}x{width}")
    if max(height, width) > limits.max_side or height * width > limits.max_pixels:
        raise ImageTooLarge(
            f"{height}x{width} pixels exceed {limits.max_pixels} in all or "
            f"{limits.max_side} along a side"
        )


def check_pixel_format(pixel_format: int, *, jpeg_quality: int) -> None:
    """Refuse what ``pixels_to_bytes`` could not write, before there are pixels.

    Raises:
        BadRequest: the format or the quality is unknown.
    """
    if pixel_format != types_pb2.PIXEL_FORMAT_RGB and pixel_format not in _PILLOW_NAME:
        raise BadRequest(f"a picture's format is RGB, PNG, JPEG or WEBP, got {pixel_format}")
    if jpeg_quality > 100:
        raise BadRequest(f"JPEG's quality goes from 1 to 100, got {jpeg_quality}")


def pixels_to_bytes(pixels: Pixels, pixel_format: int, *, jpeg_quality: int = 0) -> bytes:
    """Return ``pixels``, ``(H, W, 3)`` RGB, written in a format of ``ugicm.v1.PixelFormat``.

    Args:
        pixels: the picture.
        pixel_format: how to write it.
        jpeg_quality: 1 to 100, or 0 for 90; only for JPEG.

    Raises:
        BadRequest: the format or the quality is unknown.
    """
    check_pixel_format(pixel_format, jpeg_quality=jpeg_quality)
    if pixel_format == types_pb2.PIXEL_FORMAT_RGB:
        return pixels.tobytes()
    options: dict[int, dict[str, Any]] = {
        # Level 1 takes a third of the default's time for up to an eighth more bytes.
        types_pb2.PIXEL_FORMAT_PNG: {"compress_level": 1},
        types_pb2.PIXEL_FORMAT_JPEG: {"quality": jpeg_quality or _DEFAULT_JPEG_QUALITY},
        types_pb2.PIXEL_FORMAT_WEBP: {"lossless": True},
    }
    file = io.BytesIO()
    image = Image.fromarray(pixels, mode="RGB")
    image.save(file, _PILLOW_NAME[pixel_format], **options[pixel_format])
    return file.getvalue()


def _raw_pixels(picture: types_pb2.Picture, limits: Limits) -> Pixels:
    height, width = picture.height, picture.width
    check_size(height, width, limits)
    if len(picture.data) != 3 * height * width:
        raise BadImage(
            f"{height}x{width} RGB pixels have {3 * height * width} bytes, got {len(picture.data)}"
        )
    return np.frombuffer(picture.data, np.uint8).reshape(height, width, 3)


def _count_in_file(picture: types_pb2.Picture, limits: Limits) -> int:
    with _opened(picture, limits) as image:
        return image.height * image.width


@contextmanager
def _opened(picture: types_pb2.Picture, limits: Limits) -> Iterator[Image.Image]:
    """Open a picture's file and check what its header says; pixels are decoded behind that."""
    if picture.format not in _PILLOW_NAME:
        raise BadRequest(f"a picture's format is RGB, PNG, JPEG or WEBP, got {picture.format}")
    name = _PILLOW_NAME[picture.format]
    try:
        with Image.open(io.BytesIO(picture.data), formats=[name]) as image:
            check_size(image.height, image.width, limits)
            declared = (picture.height or image.height, picture.width or image.width)
            if declared != (image.height, image.width):
                raise BadImage(
                    f"the message declares {declared[0]}x{declared[1]} pixels, "
                    f"the file has {image.height}x{image.width}"
                )
            if image.mode not in ("RGB", "L"):
                raise BadImage(f"a picture is 8-bit RGB or grey, got {name} of mode {image.mode}")
            yield image
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(str(error)) from error
    except UnidentifiedImageError as error:
        raise BadImage(f"not a {name} file") from error
    except UNREADABLE as error:
        raise BadImage(f"not a readable {name} file: {error}") from error
