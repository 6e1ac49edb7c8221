"""Reads and writes the bytes around the coded sections, so that damage never reaches a coder."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import google_crc32c

from ugicm_codec.errors import (
    CorruptStream,
    NotAStream,
    StreamTooLarge,
    TrailingBytes,
    TruncatedStream,
    UnsupportedVersion,
)
from ugicm_codec.limits import Limits

__all__ = [
    "HEADER_BYTES",
    "MAGIC",
    "VERSION",
    "Header",
    "Stream",
    "StreamInfo",
    "inspect",
    "latents_checksum",
    "read_stream",
    "write_stream",
]

MAGIC = b"UGI"
VERSION = 1

# magic, version, latents id, height, width, quality step, then the two sections' lengths (the
# hyper-latents' in 3 bytes) and the latents' CRC; the CRC of all this and the sections follows.
_LAYOUT = struct.Struct(">3sB8sHHBBHII")
_CRC = struct.Struct(">I")
HEADER_BYTES = _LAYOUT.size + _CRC.size

_MAX_HYPER_BYTES = 2**24 - 1
_MAX_LATENT_BYTES = 2**32 - 1
_MAX_SIDE = 2**16 - 1


@dataclass(frozen=True)
class Header:
    """What a stream says about itself.

    Attributes:
        latents_id: 8 bytes that name everything that decides latents.
        height: pixels.
        width: pixels.
        quality_step: index into the model's gains.
        hyper_bytes: length of the hyper-latents' section.
        latent_bytes: length of the latents' section.
        latents_crc: CRC-32C of the decoded integers (``latents_checksum``).
        version: of the format.
    """

    latents_id: bytes
    height: int
    width: int
    quality_step: int
    hyper_bytes: int
    latent_bytes: int
    latents_crc: int
    version: int = VERSION


@dataclass(frozen=True)
class Stream:
    """A stream whose lengths and checksum have been verified."""

    header: Header
    hyper: bytes
    latents: bytes


@dataclass(frozen=True)
class StreamInfo:
    """What can be told of a stream without its model."""

    version: int
    latents_id: bytes
    height: int
    width: int
    quality_step: int
    num_bytes: int

    @property
    def bits_per_pixel(self) -> float:
        """Bits of the whole stream per pixel of the picture."""
        return 8 * self.num_bytes / (self.height * self.width)


def latents_checksum(*arrays: bytes) -> int:
    """Return the CRC-32C over decoded integers, little-endian, in coding order."""
    return _crc(*arrays)


def write_stream(
    *,
    latents_id: bytes,
    height: int,
    width: int,
    quality_step: int,
    latents_crc: int,
    hyper: bytes,
    latents: bytes,
) -> bytes:
    """Return the stream's bytes.

    Raises:
        StreamTooLarge: a side or a section does not fit into its field.
    """
    if max(height, width) > _MAX_SIDE:
        raise StreamTooLarge(f"a side has at most {_MAX_SIDE} pixels, got {height}x{width}")
    if len(hyper) > _MAX_HYPER_BYTES:
        raise StreamTooLarge(f"hyper-latents take {len(hyper)} bytes, limit {_MAX_HYPER_BYTES}")
    if len(latents) > _MAX_LATENT_BYTES:
        raise StreamTooLarge(f"latents take {len(latents)} bytes, limit {_MAX_LATENT_BYTES}")
    fields = _LAYOUT.pack(
        MAGIC,
        VERSION,
        latents_id,
        height,
        width,
        quality_step,
        len(hyper) >> 16,
        len(hyper) & 0xFFFF,
        len(latents),
        latents_crc,
    )
    return b"".join([fields, _CRC.pack(_crc(fields, hyper, latents)), hyper, latents])


def read_stream(data: bytes, limits: Limits) -> Stream:
    """Verify ``data`` and return its parts.

    Raises:
        NotAStream: the magic number differs.
        UnsupportedVersion: this reader does not know the version.
        TruncatedStream: ``data`` is shorter than its header says.
        StreamTooLarge: the declared picture exceeds ``limits``.
        TrailingBytes: ``data`` is longer than its header says.
        CorruptStream: the checksum differs, or a side is zero.
    """
    header = _parse_header(data, limits)
    end = HEADER_BYTES + header.hyper_bytes + header.latent_bytes
    if len(data) < end:
        raise TruncatedStream(f"the stream has {end} bytes, got {len(data)}")
    if len(data) > end:
        raise TrailingBytes(f"the stream has {end} bytes, got {len(data)}")
    middle = HEADER_BYTES + header.hyper_bytes
    hyper, latents = data[HEADER_BYTES:middle], data[middle:]
    (expected,) = _CRC.unpack_from(data, _LAYOUT.size)
    actual = _crc(data[: _LAYOUT.size], hyper, latents)
    if actual != expected:
        raise CorruptStream(f"expected checksum {expected:08x}, got {actual:08x}")
    if header.height == 0 or header.width == 0:
        raise CorruptStream(f"a picture has pixels, got {header.height}x{header.width}")
    return Stream(header=header, hyper=hyper, latents=latents)


def inspect(data: bytes, limits: Limits | None = None) -> StreamInfo:
    """Verify a stream's container and say what it holds, without a model.

    Raises:
        BitstreamError: as ``read_stream``.
    """
    header = read_stream(data, limits or Limits()).header
    return StreamInfo(
        version=header.version,
        latents_id=header.latents_id,
        height=header.height,
        width=header.width,
        quality_step=header.quality_step,
        num_bytes=len(data),
    )


def _parse_header(data: bytes, limits: Limits) -> Header:
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise NotAStream(f"expected magic {MAGIC!r}, got {bytes(data[: len(MAGIC)])!r}")
    if len(data) > len(MAGIC) and data[len(MAGIC)] != VERSION:
        raise UnsupportedVersion(f"this reader knows version {VERSION}, got {data[len(MAGIC)]}")
    if len(data) < HEADER_BYTES:
        raise TruncatedStream(f"a header has {HEADER_BYTES} bytes, got {len(data)}")
    _, version, latents_id, height, width, step, high, low, latent_bytes, crc = _LAYOUT.unpack_from(
        data
    )
    # Checked before anything is allocated: these numbers come from the network.
    if max(height, width) > limits.max_side or height * width > limits.max_pixels:
        raise StreamTooLarge(
            f"at most {limits.max_pixels} pixels and {limits.max_side} along a side, "
            f"got {height}x{width}"
        )
    return Header(
        latents_id=latents_id,
        height=height,
        width=width,
        quality_step=step,
        hyper_bytes=high << 16 | low,
        latent_bytes=latent_bytes,
        latents_crc=crc,
        version=version,
    )


def _crc(*parts: bytes) -> int:
    value = 0
    for part in parts:
        value = google_crc32c.extend(value, part)
    return value
