"""Damage on the way ends in a typed error: never in a crash, never in a wrong picture."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ugicm_codec.errors import BitstreamError, TrailingBytes, TruncatedStream

STREAM = (Path(__file__).parents[1] / "golden" / "v1" / "odd-noise.ugi").read_bytes()


def test_the_stream_is_sound(codec):
    assert codec.decode(STREAM).shape == (17, 33, 3)


@pytest.mark.parametrize("position", range(len(STREAM)))
def test_no_other_value_of_any_byte_decodes(codec, position):
    damaged = bytearray(STREAM)
    for value in set(range(256)) - {STREAM[position]}:
        damaged[position] = value
        with pytest.raises(BitstreamError):
            codec.decode(bytes(damaged))


def test_no_truncation_decodes(codec):
    for length in range(len(STREAM)):
        with pytest.raises(TruncatedStream):
            codec.decode(STREAM[:length])


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 4, STREAM])
def test_trailing_bytes_do_not_decode(codec, tail):
    with pytest.raises(TrailingBytes):
        codec.decode(STREAM + tail)


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_random_bytes_do_not_decode(codec, data):
    for prefix in (b"", STREAM[:4], STREAM[:12], STREAM[:28]):
        with pytest.raises(BitstreamError):
            codec.decode(prefix + data)


@given(st.data())
def test_two_streams_spliced_do_not_decode(codec, data):
    other = STREAM[::-1]
    start = data.draw(st.integers(0, len(STREAM) - 1))
    stop = data.draw(st.integers(start + 1, len(STREAM)))
    spliced = STREAM[:start] + other[start:stop] + STREAM[stop:]
    if spliced != STREAM:
        with pytest.raises(BitstreamError):
            codec.decode(spliced)
