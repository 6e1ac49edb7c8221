"""Write what people type and what files hold as messages of ``ugicm.v1``."""

from __future__ import annotations

from ugicm.v1 import types_pb2
from ugicm_client.pictures import Pixels
from ugicm_servicekit.pictures import pixels_to_bytes
from ugicm_servicekit.wire import FrameKey

__all__ = ["parse_key", "picture_to_wire"]

# Half of the largest message that a service accepts by default; larger pictures travel as PNG.
_MAX_RAW_BYTES = 32 * 2**20


def parse_key(text: str) -> FrameKey:
    """Return the frame key that ``str`` wrote.

    Raises:
        ValueError: the text has another form.
    """
    camera, *numbers = text.split("/")
    if not camera or len(numbers) != 2 or not all(n.isascii() and n.isdigit() for n in numbers):
        raise ValueError(f"a frame is named CAMERA/EPOCH/SEQUENCE, got {text!r}")
    return FrameKey(camera, int(numbers[0]), int(numbers[1]))


def picture_to_wire(image: Pixels) -> types_pb2.Picture:
    """Return pixels as a message, losslessly."""
    height, width = image.shape[:2]
    raw = image.nbytes <= _MAX_RAW_BYTES
    pixel_format = types_pb2.PIXEL_FORMAT_RGB if raw else types_pb2.PIXEL_FORMAT_PNG
    return types_pb2.Picture(
        format=pixel_format,
        height=height,
        width=width,
        data=pixels_to_bytes(image, pixel_format),
    )
