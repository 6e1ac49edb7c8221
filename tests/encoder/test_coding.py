"""Pictures become streams off the event loop, and nothing is done for callers who are gone."""

import asyncio

import pytest

from tests.fake_codec import FakeCodec, picture
from ugicm.v1 import encoder_pb2, types_pb2
from ugicm_codec import Limits
from ugicm_encoder import coding
from ugicm_encoder.coding import Coder
from ugicm_encoder.processes import CodingProcesses


@pytest.fixture
def coder():
    made = Coder(
        CodingProcesses(None, 0, None),
        threads=2,
        in_company=2,
        max_queued=8,
        limits=Limits(),
        default_quality=50,
    )
    yield made
    made.close()


def a_request(pixels):
    height, width, _ = pixels.shape
    sent = types_pb2.Picture(
        format=types_pb2.PIXEL_FORMAT_RGB, height=height, width=width, data=pixels.tobytes()
    )
    return encoder_pb2.EncodeRequest(picture=sent)


async def test_large_pictures_become_the_streams_that_small_ones_do(coder, monkeypatch):
    codec, request = FakeCodec(), a_request(picture(40, 30))
    small = await coder.code(codec, request)
    monkeypatch.setattr(coding, "_SIDE_BY_SIDE_PIXELS", 0)
    assert (await coder.code(codec, request)).stream == small.stream


async def test_a_picture_whose_caller_is_gone_is_not_coded(coder):
    codec = FakeCodec()
    codec.go_on.clear()
    task = asyncio.create_task(coder.code(codec, a_request(picture())))
    await asyncio.to_thread(codec.held_up.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    codec.go_on.set()
    await asyncio.to_thread(coder.close)
    assert codec.calls == {"analyse": 1}
