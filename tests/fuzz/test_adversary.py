"""Streams damaged on purpose, by somebody who makes the container's checksum right again.

The latents' own checksum is behind it: whatever such a stream decodes to has to be what its
encoder coded.
"""

import json
import struct
import subprocess
import sys
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ugicm_codec import Codec
from ugicm_codec.bitstream import HEADER_BYTES
from ugicm_codec.errors import BitstreamError, CorruptStream, LatentsMismatch, WrongModel

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "golden" / "v1"
TINY = str(FOLDER / "tiny.safetensors")
STREAMS = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.ugi"))}

ID, HEIGHT, WIDTH, STEP = slice(4, 12), slice(12, 14), slice(14, 16), 16
HYPER_BYTES, LATENT_BYTES, LATENTS_CRC = slice(17, 20), slice(20, 24), slice(24, 28)

FLOOD = """
import json, resource, sys, time
from ugicm_codec import Codec
from ugicm_codec.errors import BitstreamError
codec = Codec.load(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
try:
    codec.decode(sys.stdin.buffer.read())
    refusal = None
except BitstreamError as error:
    refusal = type(error).__name__
print(json.dumps({
    "refusal": refusal,
    "seconds": time.perf_counter() - start,
    "grown_bytes": 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before),
}))
"""


@pytest.fixture(scope="module")
def codec():
    return Codec.load(TINY, precision=torch.float32)


def sealed(stream):
    """Return the stream with the container's checksum made right."""
    fields, sections = bytes(stream[: HEADER_BYTES - 4]), bytes(stream[HEADER_BYTES:])
    return fields + struct.pack(">I", google_crc32c.value(fields + sections)) + sections


def with_sections(stream, hyper, latents):
    """Return the stream with other sections, and the header's lengths made right."""
    fields = bytearray(stream[:HEADER_BYTES])
    fields[HYPER_BYTES] = len(hyper).to_bytes(3, "big")
    fields[LATENT_BYTES] = len(latents).to_bytes(4, "big")
    return sealed(bytes(fields) + hyper + latents)


def sections(stream):
    middle = HEADER_BYTES + int.from_bytes(stream[HYPER_BYTES], "big")
    return stream[HEADER_BYTES:middle], stream[middle:]


def decode_or_refuse(codec, stream, original):
    """Assert that the stream is refused, or is the original's latents under another header."""
    try:
        latents = codec.decode_latents(stream)
    except (BitstreamError, WrongModel):
        return
    expected = codec.decode_latents(original).integers
    assert np.array_equal(latents.integers, expected)
    codec.synthesise([latents], [0.0])


def test_sealing_makes_streams_whole():
    for stream in STREAMS.values():
        assert sealed(stream) == with_sections(stream, *sections(stream)) == stream


@settings(max_examples=400)
@given(
    name=st.sampled_from(sorted(STREAMS)),
    changes=st.lists(st.tuples(st.integers(4, 10_000), st.integers(0, 255)), min_size=1),
)
def test_changed_bytes(codec, name, changes):
    original = STREAMS[name]
    stream = bytearray(original)
    for position, value in changes:
        stream[position % len(stream)] = value
    decode_or_refuse(codec, sealed(stream), original)


@settings(max_examples=300)
@given(name=st.sampled_from(sorted(STREAMS)), data=st.data())
def test_changed_sections_of_any_length(codec, name, data):
    original = STREAMS[name]
    parts = []
    for part in sections(original):
        start = data.draw(st.integers(0, len(part)))
        stop = data.draw(st.integers(start, len(part)))
        inserted = data.draw(st.binary(max_size=40))
        parts.append(part[:start] + inserted + part[stop:])
    decode_or_refuse(codec, with_sections(original, *parts), original)


@settings(max_examples=200)
@given(
    name=st.sampled_from(sorted(STREAMS)),
    height=st.integers(0, 2**16 - 1),
    width=st.integers(0, 2**16 - 1),
    step=st.integers(0, 255),
)
def test_other_sizes_and_steps(codec, name, height, width, step):
    original = STREAMS[name]
    stream = bytearray(original)
    stream[HEIGHT], stream[WIDTH] = height.to_bytes(2, "big"), width.to_bytes(2, "big")
    stream[STEP] = step
    decode_or_refuse(codec, sealed(stream), original)


@pytest.mark.parametrize("bit", range(32))
def test_another_latents_checksum_is_a_mismatch(codec, bit):
    stream = bytearray(STREAMS["odd-noise"])
    stream[LATENTS_CRC.start + bit // 8] ^= 1 << bit % 8
    with pytest.raises(LatentsMismatch):
        codec.decode(sealed(stream))


@pytest.mark.parametrize("byte", range(8))
def test_another_latents_id_is_the_wrong_model(codec, byte):
    stream = bytearray(STREAMS["odd-noise"])
    stream[ID.start + byte] ^= 1
    with pytest.raises(WrongModel):
        codec.decode(sealed(stream))


def test_swapped_sections_are_damage(codec):
    hyper, latents = sections(STREAMS["odd-noise"])
    with pytest.raises(BitstreamError):
        codec.decode(with_sections(STREAMS["odd-noise"], latents, hyper))


@pytest.mark.parametrize("name", ["scene-best", "scene-smallest"])
def test_every_flipped_bit_of_the_hyper_latents_is_noticed(codec, name):
    hyper, latents = sections(STREAMS[name])
    for bit in range(8 * len(hyper)):
        damaged = bytearray(hyper)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptStream, LatentsMismatch)):
            codec.decode(with_sections(STREAMS[name], bytes(damaged), latents))


@pytest.mark.parametrize("section", [b"", bytes(8), b"\xff" * 8, bytes(2**20)])
def test_the_largest_picture_of_no_content_is_refused_in_little_memory(section):
    stream = bytearray(with_sections(STREAMS["pixel"], section, section))
    stream[HEIGHT] = stream[WIDTH] = (8192).to_bytes(2, "big")
    output = subprocess.run(
        [sys.executable, "-c", FLOOD, TINY],
        input=sealed(stream),
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    measured = json.loads(output)
    assert measured["refusal"] == "CorruptStream"
    assert measured["seconds"] < 5.0
    assert measured["grown_bytes"] < 2**26
