"""Turn the picture of one request into a stream, off the event loop."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ugicm.v1 import encoder_pb2
from ugicm_codec import Limits
from ugicm_encoder.metrics import ENCODED_BYTES, ENCODED_PICTURES
from ugicm_servicekit.pictures import pixels_from_wire
from ugicm_servicekit.stages import stage

if TYPE_CHECKING:
    from ugicm_codec import Codec

__all__ = ["Coded", "code"]


@dataclass(frozen=True)
class Coded:
    """A stream, and the seconds it took to read its picture and to code it."""

    stream: bytes = field(repr=False)
    picture_seconds: float
    encode_seconds: float


def code(
    codec: Codec, request: encoder_pb2.EncodeRequest, *, limits: Limits, default_quality: int
) -> Coded:
    """Code the picture of ``request`` for its target.

    Raises:
        CodecError: the picture or the target is out of range.
        BadRequest: the picture names no format.
    """
    started = time.perf_counter()
    with stage("picture"):
        pixels = pixels_from_wire(request.picture, limits)
    read = time.perf_counter()
    target = request.WhichOneof("target")
    with stage("encode"):
        if target == "max_bytes":
            stream = codec.encode(pixels, max_bytes=request.max_bytes)
        else:
            quality = request.quality if target == "quality" else default_quality
            stream = codec.encode(pixels, quality)
    ENCODED_PICTURES.inc()
    ENCODED_BYTES.inc(len(stream))
    return Coded(stream, read - started, time.perf_counter() - read)
