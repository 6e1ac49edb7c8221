"""The parsers of network bytes, as functions that take any bytes and raise only what is theirs."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import google_crc32c
from google.protobuf.message import DecodeError

from ugicm.v1 import decoder_pb2, types_pb2
from ugicm_codec import Codec
from ugicm_codec.bitstream import HEADER_BYTES, read_stream
from ugicm_codec.errors import CodecError
from ugicm_codec.limits import Limits
from ugicm_decoder import cursors, wire
from ugicm_decoder.errors import DecoderError
from ugicm_decoder.rendering import order_from_wire
from ugicm_servicekit.errors import CallError
from ugicm_servicekit.pictures import pixels_from_wire

__all__ = ["CORPUS", "TARGETS", "run_target"]

FOLDER = Path(__file__).parent
CORPUS = FOLDER / "corpus"
_TINY = FOLDER.parent / "golden" / "v1" / "tiny.safetensors"
# Small, so that a search spends its time on parsers and not on pixels.
_LIMITS = Limits(max_pixels=2**16)
_EXPECTED = (CodecError, CallError, DecoderError, DecodeError)


def run_target(name: str, data: bytes) -> None:
    """Parse ``data``; whatever is raised that no caller expects, comes out."""
    with suppress(*_EXPECTED):
        TARGETS[name](data)


def _sealed(data: bytes) -> bytes:
    """Return a stream with its checksum made right, which no search would guess."""
    fields, sections = data[: HEADER_BYTES - 4], data[HEADER_BYTES:]
    return fields + struct.pack(">I", google_crc32c.value(fields + sections)) + sections


def _stream(data: bytes) -> None:
    read_stream(_sealed(data), _LIMITS)


@functools.cache
def _codec() -> Codec:
    return Codec.load(str(_TINY), limits=_LIMITS)


def _latents(data: bytes) -> None:
    _codec().decode_latents(_sealed(data))


def _picture(data: bytes) -> None:
    pixels = pixels_from_wire(types_pb2.Picture.FromString(data), _LIMITS)
    assert pixels.size <= 3 * _LIMITS.max_pixels


def _decode(data: bytes) -> None:
    order_from_wire(decoder_pb2.DecodeRequest.FromString(data), max_views=16)


def _ingest(data: bytes) -> None:
    request = decoder_pb2.IngestRequest.FromString(data)
    if request.WhichOneof("item") == "gap":
        wire.gap_from_wire(request.gap)
    else:
        wire.frame_from_wire(request.frame, _LIMITS)


def _list(data: bytes) -> None:
    request = decoder_pb2.ListFramesRequest.FromString(data)
    with suppress(*_EXPECTED):
        cursors.camera_from_token(request.page_token)
    cursors.key_from_token(wire.query_from_wire(request), request.page_token)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "stream": _stream,
    "latents": _latents,
    "picture": _picture,
    "decode": _decode,
    "ingest": _ingest,
    "list": _list,
}
