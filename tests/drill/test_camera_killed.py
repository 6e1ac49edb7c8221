"""A camera that is killed in the middle: its frames are in the store once, as if it never was."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest
from PIL import Image

from tests.drill.proxy import Link
from tests.drill.services import Service
from tests.fake_codec import FakeCodec, picture
from ugicm.v1 import decoder_pb2, types_pb2
from ugicm.v1.decoder_pb2_grpc import DecoderServiceStub
from ugicm_client.channel import until_serving
from ugicm_servicekit.channel import open_channel

NUM_PICTURES = 60


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(NUM_PICTURES):
        Image.fromarray(picture(seed=number)).save(folder / f"{number:03d}.png")
    return folder


@asynccontextmanager
async def services(tmp_path):
    """Start a decoder, and an encoder with a spool; yields their addresses."""
    async with AsyncExitStack() as opened:
        to_encoder = await opened.enter_async_context(Link.open())
        to_decoder = await opened.enter_async_context(Link.open())
        decoder = Service(
            "tests.decoder.fake_service",
            [f"--store={tmp_path / 'frames.sqlite3'}"],
            to_decoder,
            tmp_path / "decoder.log",
        )
        encoder = Service(
            "tests.encoder.fake_service",
            [f"--upstream={to_decoder.address}", f"--spool={tmp_path / 'spool'}"],
            to_encoder,
            tmp_path / "encoder.log",
        )
        for service, link in ((decoder, to_decoder), (encoder, to_encoder)):
            opened.push_async_callback(service.stop)
            await service.start()
            async with open_channel(link.address) as channel:
                await until_serving(channel)
        yield to_encoder.address, to_decoder.address


async def send(folder, address, state):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ugicm_client", "camera", str(folder), "--fps", "10"),
        *("--server", address, "--wait", "60", "--state", str(state)),
        stdout=asyncio.subprocess.DEVNULL,
    )


@pytest.mark.slow
async def test_every_picture_is_stored_once_in_order_though_the_camera_is_killed(
    tmp_path, pictures
):
    async with services(tmp_path) as (encoder, decoder), open_channel(decoder) as channel:
        watch = DecoderServiceStub(channel).Watch(
            decoder_pb2.WatchFramesRequest(
                start=types_pb2.WATCH_START_OLDEST,
                mode=types_pb2.WATCH_MODE_EVERY,
                include_stream=True,
            )
        )
        stored = []
        for enough in (10, 25, NUM_PICTURES):
            camera = await send(pictures, encoder, tmp_path / "camera.json")
            while len(stored) < enough:
                stored.append(await watch.read())
            if enough < NUM_PICTURES:
                camera.kill()
            assert await camera.wait() == (0 if enough == NUM_PICTURES else -9)
        watch.cancel()
        listed = await DecoderServiceStub(channel).ListCameras(decoder_pb2.ListCamerasRequest())
    (epoch,) = {event.frame.key.epoch for event in stored}
    assert epoch > 0
    assert [event.frame.key.sequence for event in stored] == list(range(NUM_PICTURES))
    assert [camera.num_frames for camera in listed.cameras] == [NUM_PICTURES]
    for number, event in enumerate(stored):
        (pixels,) = FakeCodec().decode_views(event.stream, [0.0])
        np.testing.assert_array_equal(pixels, picture(seed=number))
