"""An encoder that answers as a test tells it, and a terminal-less ``ugicm`` beside servers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.fake_codec import FakeCodec
from ugicm.v1 import encoder_pb2, encoder_pb2_grpc
from ugicm_client.commands.main import main
from ugicm_codec import Limits, inspect
from ugicm_servicekit.pictures import pixels_from_wire
from ugicm_servicekit.streams import stream_info_to_wire


class ScriptedEncoder(encoder_pb2_grpc.EncoderServiceServicer):
    """Codes pictures losslessly; fails those whose first pixel is in ``failures``.

    Attributes:
        requests: what it was asked, in order.
        ends_after: how many pictures of a stream it answers before it ends the call.
        unavailable: why it does not answer single pictures.
        hitches: what comes in the way of a sequence, first things first: "end" ends the call,
            "end behind all" does so when the camera has nothing left to send, and a status is the
            item's failure, with a hint when to try again.
    """

    def __init__(self, failures=(), ends_after=None, hitches=()):
        self.codec = FakeCodec()
        self.failures = failures
        self.ends_after = ends_after
        self.unavailable = None
        self.hitches = dict(hitches)
        self.requests = []
        self._more = asyncio.Condition()

    async def received(self, number):
        """Wait until it was asked for so many pictures."""
        async with self._more:
            await self._more.wait_for(lambda: len(self.requests) >= number)

    async def Encode(self, request, context):
        self.requests.append(request)
        if self.unavailable:
            await context.abort(grpc.StatusCode.UNAVAILABLE, self.unavailable)
        return self.answer(request)

    async def EncodeStream(self, requests, context):
        num_answered = 0
        async for item in requests:
            if num_answered == self.ends_after:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many pictures")
            self.requests.append(item.request)
            async with self._more:
                self._more.notify_all()
            response = encoder_pb2.EncodeStreamResponse(request_id=item.request_id)
            hitches = self.hitches.get(item.request.key.sequence)
            if hitches:
                hitch = hitches.pop(0)
                if hitch == "end behind all":
                    # Behind what the camera still writes: a call that ends while a request is
                    # being written does not tell the camera why.
                    async for _ in requests:
                        pass
                if hitch in ("end", "end behind all"):
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "it is stopping")
                response.failure.code = hitch.value[0]
                response.failure.message = "not now"
                response.failure.retry_after_seconds = 2
                yield response
                continue
            if item.request.picture.data[0] in self.failures:
                response.failure.code = grpc.StatusCode.INVALID_ARGUMENT.value[0]
                response.failure.message = "no such picture"
            else:
                response.response.CopyFrom(self.answer(item.request))
            yield response
            num_answered += 1

    def answer(self, request):
        stream = self.codec.encode(pixels_from_wire(request.picture, Limits()))
        return encoder_pb2.EncodeResponse(
            key=request.key,
            stream=b"" if request.omit_stream else stream,
            info=stream_info_to_wire(inspect(stream)),
            delivery=encoder_pb2.DELIVERY_STORED,
        )


class ScriptedHealth(health_pb2_grpc.HealthServicer):
    """Answers one health check after another by name, such as NOT_SERVING."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def Check(self, request, context):
        return health_pb2.HealthCheckResponse(status=self.answers.pop(0))


@asynccontextmanager
async def encoding(servicer, health=None):
    """Serve an encoder; yields its address."""
    server = grpc.aio.server()
    if health is not None:
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
    encoder_pb2_grpc.add_EncoderServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def run(*arguments):
    """Run the command beside the servers of a test, and return its exit code."""
    return await asyncio.to_thread(main, [str(argument) for argument in arguments])


def flat(level, height=8, width=9):
    return np.full((height, width, 3), level, np.uint8)
