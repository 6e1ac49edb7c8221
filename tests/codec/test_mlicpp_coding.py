"""MLIC++ in twenty steps: damage anywhere is noticed, and company changes nothing."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from tests.pictures import noise, scene
from ugicm_codec import Codec
from ugicm_codec.bitstream import read_stream, write_stream
from ugicm_codec.entropy.mlicpp import coder as coder_module
from ugicm_codec.entropy.rans import SectionReader
from ugicm_codec.errors import BitstreamError, CorruptStream, LatentsMismatch
from ugicm_codec.limits import Limits

STEPS = 20


@pytest.fixture(scope="module")
def codec(tiny_mlicpp):
    return Codec.load(tiny_mlicpp, precision=torch.float32)


@pytest.fixture(scope="module")
def stream(codec):
    return codec.encode(noise(96, 80, seed=5), 100)


def resealed(stream, section, *, latents_crc=None):
    """Return the stream with another section of latents and checksums that agree with it."""
    parsed = read_stream(stream, Limits())
    header = parsed.header
    return write_stream(
        latents_id=header.latents_id,
        height=header.height,
        width=header.width,
        quality_step=header.quality_step,
        latents_crc=header.latents_crc if latents_crc is None else latents_crc,
        hyper=parsed.hyper,
        latents=section,
    )


@pytest.fixture(scope="module")
def words_after(codec, stream):
    """Return how many words of the section have been read before each step, and at the end."""
    counts = []
    plain = SectionReader.read

    def counting(reader, indexes):
        counts.append(int(reader._cursor[1]))
        values = plain(reader, indexes)
        counts.append(int(reader._cursor[1]))
        return values

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SectionReader, "read", counting)
        codec.decode_latents(stream)
    # The first two are the hyper-latents' section.
    before, after = counts[2::2], counts[3::2]
    assert len(before) == STEPS
    return [*before, after[-1]]


def test_the_stream_is_sound(codec, stream, words_after):
    section = read_stream(stream, Limits()).latents
    assert 4 * words_after[-1] == len(section)
    assert codec.decode(stream).shape == (96, 80, 3)


@pytest.mark.parametrize("step", range(STEPS))
def test_damage_at_any_step_is_noticed_although_the_streams_checksum_agrees(
    step, codec, stream, words_after
):
    section = bytearray(read_stream(stream, Limits()).latents)
    # A word that the step, or one soon after it, reads: steps of few symbols may read none.
    place = 4 * min(words_after[step], len(section) // 4 - 1)
    for bit in (0, 9, 31):
        damaged = bytearray(section)
        damaged[place + bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptStream, LatentsMismatch)):
            codec.decode_latents(resealed(stream, bytes(damaged)))


@pytest.mark.parametrize("step", range(STEPS))
def test_a_section_that_ends_at_any_step_is_noticed(step, codec, stream, words_after):
    section = read_stream(stream, Limits()).latents
    with pytest.raises(CorruptStream):
        codec.decode_latents(resealed(stream, section[: 4 * words_after[step]]))


def test_a_section_that_goes_on_is_noticed(codec, stream):
    section = read_stream(stream, Limits()).latents
    with pytest.raises(CorruptStream):
        codec.decode_latents(resealed(stream, section + bytes(4)))


def test_other_latents_than_were_coded_are_noticed(codec, stream):
    section = read_stream(stream, Limits()).latents
    with pytest.raises(LatentsMismatch):
        codec.decode_latents(resealed(stream, section, latents_crc=1))


def test_no_other_value_of_some_bytes_decodes(codec, stream):
    for place in range(0, len(stream), max(1, len(stream) // 60)):
        damaged = bytearray(stream)
        damaged[place] ^= 0x55
        with pytest.raises(BitstreamError):
            codec.decode(bytes(damaged))


def test_batches_of_streams_are_decoded_as_one_by_one(codec):
    pictures = [scene(40, 70, seed=seed) for seed in range(3)] + [noise(17, 33), scene(1, 1)]
    streams = codec.encode_batch(pictures, 60)
    together = codec.decode_latents_batch(streams)
    for stream, latents in zip(streams, together, strict=True):
        assert np.array_equal(codec.decode_latents(stream).integers, latents.integers)


def test_pictures_of_many_sizes_are_decoded_at_once_as_one_by_one(codec, one_thread):
    sizes = [(16, 16), (40, 70), (33, 90), (96, 32), (64, 64), (1, 50)]
    streams = [codec.encode(scene(*size, seed=index)) for index, size in enumerate(sizes)]
    expected = [codec.decode(stream) for stream in streams]
    with ThreadPoolExecutor(max_workers=6) as pool:
        got = list(pool.map(codec.decode, streams * 2))
    for picture, alone in zip(got, expected * 2, strict=True):
        assert np.array_equal(picture, alone)


def test_latents_carry_means_and_residuals(codec, stream):
    latents = codec.decode_latents(stream)
    assert latents.integers.dtype == np.int32
    # Whole symbols alone would leave no fractions.
    assert np.mean(latents.integers % 256 != 0) > 0.9


def test_decoded_latents_are_within_a_step_of_what_was_analysed(codec):
    picture = scene(64, 96, seed=9)
    analysed = codec.analyse(picture)
    latents = codec.decode_latents(codec.code(analysed, 50))
    step = latents.quality_step
    wanted = (analysed.y * codec._model.gain[step][:, None, None]).permute(1, 2, 0).numpy()
    # Half a step of rounding, half a step of predicted residual.
    assert np.abs(latents.integers / 256 - wanted).max() <= 1.0 + 2 / 256


def test_large_pictures_are_coded_in_tiles_of_their_own(codec, monkeypatch):
    monkeypatch.setattr(coder_module, "CONTEXT_SIDE", 2)
    picture = scene(80, 48, seed=2)
    tiled = codec.encode(picture)
    decoded = codec.decode_latents(tiled)
    assert decoded.integers.shape == (5, 3, 20)
    monkeypatch.undo()
    assert codec.encode(picture) != tiled


def test_a_budget_is_met(codec):
    picture = scene(100, 60)
    best = codec.encode(picture, max_bytes=700)
    assert len(best) <= 700
    assert codec.decode(best).shape == (100, 60, 3)
