"""A real encoder on a free port, over codecs that a test gives."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from tests.fake_codec import FakeCodec
from ugicm.v1 import encoder_pb2 as pb
from ugicm.v1 import types_pb2 as types
from ugicm.v1.encoder_pb2_grpc import EncoderServiceStub
from ugicm_encoder.main import SERVICE, serve
from ugicm_encoder.settings import EncoderSettings
from ugicm_encoder.status import ENCODER_STATUS
from ugicm_servicekit.models import Models
from ugicm_servicekit.server import Server


@dataclass
class Running:
    server: Server
    serving: asyncio.Task
    port: int
    channel: grpc.aio.Channel
    models: Models

    @property
    def stub(self):
        return EncoderServiceStub(self.channel)


@asynccontextmanager
async def encoding(*codecs, **settings):
    """Serve by the codecs, or by a ``FakeCodec`` where none is given."""
    chosen = EncoderSettings(**{"port": 0, **settings})
    server = Server(chosen, ENCODER_STATUS, services=[SERVICE])
    port = await server.listen()
    models = Models(codecs or [FakeCodec()])
    serving = asyncio.create_task(serve(chosen, server, models))
    try:
        # Unlike a client's channel it asks once, so that a test sees each answer.
        options = [("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            # Not until it is ready: without its decoder it never is.
            started = asyncio.ensure_future(server.serving.wait())
            await asyncio.wait((serving, started), return_when=asyncio.FIRST_COMPLETED)
            started.cancel()
            yield Running(server, serving, port, channel, models)
    finally:
        server.stop()
        try:
            await serving
        finally:
            await server.close()


def raw(pixels):
    height, width, _ = pixels.shape
    return types.Picture(
        format=types.PIXEL_FORMAT_RGB, height=height, width=width, data=pixels.tobytes()
    )


def key(sequence=0, camera="gate"):
    return types.FrameKey(camera=camera, epoch=1, sequence=sequence)


def item(number, pixels, **fields):
    request = pb.EncodeRequest(picture=raw(pixels), **fields)
    return pb.EncodeStreamRequest(request_id=number, request=request)
