"""The bundled model behind the services: the same pixels as in process, and no harm from damage."""

from __future__ import annotations

import random
import signal

import grpc
import numpy as np
import pytest

from tests.decoder.harness import HUMAN, MACHINE, decoding, order, pictures, ready, started
from ugicm.v1 import encoder_pb2, types_pb2
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm.v1.encoder_pb2_grpc import EncoderServiceStub
from ugicm_codec import Limits
from ugicm_servicekit.channel import connect
from ugicm_servicekit.models import load_models


@pytest.fixture(scope="module")
def codec():
    return load_models(["default"], device="cpu", limits=Limits()).named("")


@pytest.fixture(scope="module")
def image():
    """A picture with edges, slopes and noise; neither side a multiple of the model's stride."""
    rows, columns = np.mgrid[0:101, 0:150]
    planes = [rows * 2, columns, (rows // 16 + columns // 16) % 2 * 200]
    noise = np.random.default_rng(3).integers(0, 20, (101, 150, 3))
    return np.clip(np.stack(planes, -1) + noise, 0, 255).astype(np.uint8)


@pytest.fixture
async def decoder(tmp_path, codec):
    async with decoding(tmp_path, codec) as running:
        yield running


async def test_pixels_are_those_of_the_codec_in_process(decoder, codec, image):
    stream = codec.encode(image)
    views = [HUMAN, MACHINE, types_pb2.View(number=0.3)]
    answer = await decoder.decode(stream=stream, views=views)
    for pixels, expected in zip(
        answer.pixels, codec.decode_views(stream, [0.0, 1.0, 0.3]), strict=True
    ):
        np.testing.assert_array_equal(pixels, expected)
    assert answer.start.model_sha256 == codec.model.sha256
    assert answer.start.info.latents_id == codec.model.latents_id


async def test_damage_never_becomes_a_picture_nor_stops_the_service(decoder, codec, image):
    stream = codec.encode(image)
    chance = random.Random(11)
    damaged = [stream[:length] for length in (0, 1, 31, 32, len(stream) // 2, len(stream) - 1)]
    damaged += [stream + b"\0", chance.randbytes(500), stream[:32] + chance.randbytes(500)]
    for position in [*range(32), *chance.sample(range(32, len(stream)), 32)]:
        flipped = bytearray(stream)
        flipped[position] ^= 1 << chance.randrange(8)
        damaged.append(bytes(flipped))
    for data in damaged:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await decoder.decode(stream=data)
        assert caught.value.code() in (
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.DATA_LOSS,
        )
    answer = await decoder.decode(stream=stream)
    np.testing.assert_array_equal(answer.pixels[0], codec.decode(stream))


@pytest.mark.slow
async def test_the_processes_pass_a_picture_from_end_to_end(tmp_path, codec, image):
    height, width, _ = image.shape
    sent = encoder_pb2.EncodeRequest(
        picture=types_pb2.Picture(
            format=types_pb2.PIXEL_FORMAT_RGB, height=height, width=width, data=image.tobytes()
        ),
        key=types_pb2.FrameKey(camera="gate", epoch=1),
        quality=30,
    )
    async with (
        started("-m", "ugicm_decoder", "--port=0", f"--store={tmp_path / 'frames'}") as (
            decoder,
            decoder_address,
        ),
        started("-m", "ugicm_encoder", "--port=0", f"--upstream={decoder_address}") as (
            encoder,
            encoder_address,
        ),
        connect(decoder_address) as to_decoder,
        connect(encoder_address) as to_encoder,
    ):
        await ready(to_decoder)
        await ready(to_encoder)
        encoded = await EncoderServiceStub(to_encoder).Encode(sent)
        assert encoded.delivery == encoder_pb2.DELIVERY_STORED
        parts = DecoderServiceStub(to_decoder).Decode(order(key=sent.key))
        answer = pictures([part async for part in parts])
        for process in (encoder, decoder):
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    np.testing.assert_array_equal(answer.pixels[0], codec.decode(encoded.stream))
