from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ugicm.v1 import types_pb2
from ugicm_codec.errors import BadImage, ImageTooLarge
from ugicm_codec.limits import Limits
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.pictures import pixels_from_wire, pixels_to_bytes

LIMITS = Limits(max_side=64, max_pixels=1024)
RGB, PNG, JPEG, WEBP = (
    types_pb2.PIXEL_FORMAT_RGB,
    types_pb2.PIXEL_FORMAT_PNG,
    types_pb2.PIXEL_FORMAT_JPEG,
    types_pb2.PIXEL_FORMAT_WEBP,
)


@pytest.fixture
def pixels():
    return np.random.default_rng(7).integers(0, 256, (5, 9, 3), np.uint8)


def file_of(image: Image.Image, name: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, name)
    return file.getvalue()


def read(pixel_format: int, data: bytes, height: int = 0, width: int = 0):
    picture = types_pb2.Picture(format=pixel_format, height=height, width=width, data=data)
    return pixels_from_wire(picture, LIMITS)


@pytest.mark.parametrize("pixel_format", [RGB, PNG, WEBP])
def test_lossless_formats_keep_every_pixel(pixels, pixel_format):
    data = pixels_to_bytes(pixels, pixel_format)
    assert np.array_equal(read(pixel_format, data, 5, 9), pixels)


def test_raw_pixels_are_rows_of_red_green_blue():
    picture = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    assert pixels_to_bytes(picture, RGB) == bytes([1, 2, 3, 4, 5, 6])
    assert np.array_equal(read(RGB, bytes([1, 2, 3, 4, 5, 6]), 1, 2), picture)


def test_jpeg_spends_more_bytes_on_more_quality(pixels):
    sizes = [len(pixels_to_bytes(pixels, JPEG, jpeg_quality=quality)) for quality in (1, 0, 100)]
    assert sizes == sorted(set(sizes))
    assert sizes[1] == len(pixels_to_bytes(pixels, JPEG, jpeg_quality=90))
    assert read(JPEG, pixels_to_bytes(pixels, JPEG)).shape == pixels.shape


def test_grey_becomes_three_equal_channels():
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    decoded = read(PNG, file_of(Image.fromarray(grey)))
    assert np.array_equal(decoded, np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "I;16"])
def test_pictures_that_need_a_choice_are_refused(mode):
    with pytest.raises(BadImage, match="a picture is 8-bit RGB or grey"):
        read(PNG, file_of(Image.new(mode, (4, 4))))


@pytest.mark.parametrize("pixel_format", [0, 9])
def test_an_unknown_format_is_refused_in_both_directions(pixels, pixel_format):
    with pytest.raises(BadRequest):
        read(pixel_format, b"")
    with pytest.raises(BadRequest):
        pixels_to_bytes(pixels, pixel_format)


def test_jpeg_quality_above_100_is_refused(pixels):
    with pytest.raises(BadRequest, match="from 1 to 100, got 101"):
        pixels_to_bytes(pixels, JPEG, jpeg_quality=101)


def test_raw_pixels_of_another_length_are_refused():
    with pytest.raises(BadImage, match="2x2 RGB pixels have 12 bytes, got 11"):
        read(RGB, bytes(11), 2, 2)


@pytest.mark.parametrize(("height", "width"), [(0, 4), (4, 0)])
def test_a_picture_without_pixels_is_refused(height, width):
    with pytest.raises(BadImage, match="at least 1x1"):
        read(RGB, b"", height, width)


@pytest.mark.parametrize(("height", "width"), [(65, 1), (1, 65), (33, 32)])
def test_raw_sizes_beyond_the_limits_are_refused(height, width):
    with pytest.raises(ImageTooLarge):
        read(RGB, b"", height, width)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png_without_pixels(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", b"")


@pytest.mark.parametrize("side", [65, 10_000, 60_000])  # beyond our limits, Pillow's first and last
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_by_its_header(side):
    with pytest.raises(ImageTooLarge):
        read(PNG, _png_without_pixels(side))


def test_a_file_of_another_size_than_declared_is_refused(pixels):
    with pytest.raises(BadImage, match="declares 5x8 pixels, the file has 5x9"):
        read(PNG, pixels_to_bytes(pixels, PNG), 5, 8)


def test_a_file_of_another_format_than_declared_is_refused(pixels):
    with pytest.raises(BadImage) as caught:
        read(PNG, pixels_to_bytes(pixels, JPEG))
    assert str(caught.value) == "not a PNG file"


@pytest.mark.parametrize("pixel_format", [PNG, JPEG, WEBP])
def test_a_truncated_file_never_gives_a_wrong_picture(pixels, pixel_format):
    data = pixels_to_bytes(pixels, pixel_format)
    whole = read(pixel_format, data)
    refused = 0
    for length in range(len(data)):
        try:
            # Only checksums and end marks may be missing.
            assert np.array_equal(read(pixel_format, data[:length]), whole)
        except BadImage:
            refused += 1
    assert refused > len(data) - 25
