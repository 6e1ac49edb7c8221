"""The bytes around the coded sections."""

import struct
import subprocess
import sys
import tracemalloc

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugicm_codec import Limits, inspect
from ugicm_codec.bitstream import HEADER_BYTES, latents_checksum, read_stream, write_stream
from ugicm_codec.errors import (
    BitstreamError,
    CorruptStream,
    NotAStream,
    StreamTooLarge,
    TrailingBytes,
    TruncatedStream,
    UnsupportedVersion,
)

FIELDS = {
    "latents_id": bytes.fromhex("0123456789abcdef"),
    "height": 480,
    "width": 640,
    "quality_step": 7,
    "latents_crc": 0xDEADBEEF,
    "hyper": b"hyper" * 20_000,
    "latents": b"latents",
}
STREAM = write_stream(**FIELDS)


def with_true_checksum(stream):
    """Return the stream as somebody who damages it on purpose would send it."""
    body = stream[: HEADER_BYTES - 4] + stream[HEADER_BYTES:]
    return stream[: HEADER_BYTES - 4] + struct.pack(">I", google_crc32c.value(body)) + stream[32:]


def test_header_bytes_are_fixed():  # a round trip cannot see a change made on both sides
    assert STREAM[:HEADER_BYTES] == bytes.fromhex(
        "554749 01 0123456789abcdef 01e0 0280 07 0186a0 00000007 deadbeef 2e959925"
    )


def test_sections_follow_the_header_in_coding_order():
    assert STREAM[HEADER_BYTES:] == FIELDS["hyper"] + FIELDS["latents"]


def test_the_checksum_is_crc32c():
    # The check value of CRC-32C (Castagnoli), RFC 3720.
    assert latents_checksum(b"1234", b"56789") == 0xE3069283


def test_what_is_written_is_read():
    stream = read_stream(STREAM, Limits())
    header = stream.header
    assert (header.height, header.width, header.quality_step) == (480, 640, 7)
    assert (header.latents_id, header.latents_crc) == (FIELDS["latents_id"], 0xDEADBEEF)
    assert (stream.hyper, stream.latents) == (FIELDS["hyper"], FIELDS["latents"])


def test_inspect_counts_every_byte():
    info = inspect(STREAM)
    assert info.num_bytes == len(STREAM)
    assert info.bits_per_pixel == 8 * len(STREAM) / (480 * 640)


def test_inspect_needs_no_pytorch():
    code = (
        "import sys, ugicm_codec; ugicm_codec.inspect(sys.stdin.buffer.read());"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numba', 'safetensors')))"
    )
    subprocess.run([sys.executable, "-c", code], input=STREAM, check=True)


def test_every_truncation_is_named_so():
    stream = write_stream(**FIELDS | {"hyper": b"hyper"})
    for length in range(len(stream)):
        with pytest.raises(TruncatedStream):
            inspect(stream[:length])


@pytest.mark.parametrize("tail", [b"\0", b"UGI", STREAM])
def test_trailing_bytes_are_damage(tail):
    with pytest.raises(TrailingBytes):
        inspect(STREAM + tail)


def test_foreign_bytes_are_not_a_stream():
    with pytest.raises(NotAStream, match=r"\\x89PN"):
        inspect(b"\x89PNG\r\n\x1a\n" + bytes(100))


@pytest.mark.parametrize("version", [0, 2, 255])
def test_other_versions_are_refused_by_number(version):
    with pytest.raises(UnsupportedVersion, match=f"got {version}"):
        inspect(with_true_checksum(STREAM[:3] + bytes([version]) + STREAM[4:]))


def test_a_picture_without_pixels_is_refused():
    with pytest.raises(CorruptStream, match="0x640"):
        inspect(with_true_checksum(STREAM[:12] + b"\0\0" + STREAM[14:]))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(), "67108864 pixels"),
        (Limits(max_pixels=2**40, max_side=50_000), "50000 along a side"),
    ],
)
def test_a_huge_picture_is_refused_before_anything_is_allocated(limits, message):
    stream = with_true_checksum(STREAM[:12] + b"\xff\xff\xff\xff" + STREAM[16:])
    tracemalloc.start()
    try:
        with pytest.raises(StreamTooLarge, match=message):
            inspect(stream, limits)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_what_does_not_fit_its_field_is_not_written():
    with pytest.raises(StreamTooLarge, match="65536x640"):
        write_stream(**FIELDS | {"height": 65_536})
    with pytest.raises(StreamTooLarge, match="16777216 bytes"):
        write_stream(**FIELDS | {"hyper": bytes(2**24)})


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(STREAM[:4].__add__)))
def test_no_random_bytes_are_a_stream(data):
    with pytest.raises(BitstreamError):
        inspect(data)
