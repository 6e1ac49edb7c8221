"""Write what people type and what files hold as messages of ``ugicm.v1``."""

from __future__ import annotations

import re

from ugicm.v1 import types_pb2
from ugicm_client.pictures import Pixels
from ugicm_servicekit.errors import BadRequest
from ugicm_servicekit.pictures import pixels_to_bytes
from ugicm_servicekit.wire import FrameKey, check_camera

__all__ = ["parse_key", "picture_to_wire"]

_KEY = re.compile(r"([^/]+)/([0-9]{1,20})/([0-9]{1,20})")
# Half of the largest message that a service accepts by default; larger pictures travel as PNG.
_MAX_RAW_BYTES = 32 * 2**20


def parse_key(text: str) -> FrameKey:
    """Return the frame key that ``str`` wrote.

    Raises:
        ValueError: the text has another form, or no frame can have this name.
    """
    match = _KEY.fullmatch(text)
    if match is None:
        raise ValueError(f"a frame is named CAMERA/EPOCH/SEQUENCE, got {text!r:.200}")
    camera, epoch, sequence = match[1], int(match[2]), int(match[3])
    if max(epoch, sequence) >= 2**64:
        raise ValueError(f"epochs and sequences have 64 bits, got {text!r}")
    try:
        check_camera(camera)
    except BadRequest as error:
        raise ValueError(str(error)) from error
    return FrameKey(camera, epoch, sequence)


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
