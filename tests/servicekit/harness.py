"""A real server on a free port, with handlers that do what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from ugicm.v1 import encoder_pb2, types_pb2
from ugicm.v1.encoder_pb2_grpc import (
    EncoderServiceServicer,
    EncoderServiceStub,
    add_EncoderServiceServicer_to_server,
)
from ugicm_servicekit.access import Access
from ugicm_servicekit.channel import connect
from ugicm_servicekit.server import Server
from ugicm_servicekit.settings import ServerSettings
from ugicm_servicekit.status import STATUS, StatusTable

SERVICE = "ugicm.v1.EncoderService"
NO_ACCESS = Access()
Handler = Callable[[encoder_pb2.EncodeRequest], Awaitable[encoder_pb2.EncodeResponse]]


async def echo(request: encoder_pb2.EncodeRequest) -> encoder_pb2.EncodeResponse:
    return encoder_pb2.EncodeResponse(stream=request.picture.data)


@dataclass
class Encoder(EncoderServiceServicer):
    """Answers every RPC by one function."""

    handle: Handler = echo

    async def Encode(self, request, context):
        return await self.handle(request)

    async def EncodeStream(self, request_iterator, context):
        async for item in request_iterator:
            response = await self.handle(item.request)
            yield encoder_pb2.EncodeStreamResponse(request_id=item.request_id, response=response)

    async def ListModels(self, request, context):
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "said by the handler itself")
        return types_pb2.ListModelsResponse()


@dataclass
class Running:
    server: Server
    port: int
    channel: grpc.aio.Channel

    @property
    def stub(self) -> EncoderServiceStub:
        return EncoderServiceStub(self.channel)


@asynccontextmanager
async def listening(
    settings: ServerSettings | None = None,
    table: StatusTable = STATUS,
    access: Access = NO_ACCESS,
) -> AsyncIterator[Running]:
    server = Server(settings or ServerSettings(), table, services=[SERVICE])
    port = await server.listen()
    try:
        async with connect(f"127.0.0.1:{port}", access=access) as channel:
            yield Running(server, port, channel)
    finally:
        await server.close()


@asynccontextmanager
async def encoding(
    handle: Handler = echo,
    settings: ServerSettings | None = None,
    table: StatusTable = STATUS,
    access: Access = NO_ACCESS,
) -> AsyncIterator[Running]:
    async with listening(settings, table, access) as running:
        running.server.add(add_EncoderServiceServicer_to_server, Encoder(handle))
        yield running


def request(data: bytes = b"") -> encoder_pb2.EncodeRequest:
    return encoder_pb2.EncodeRequest(picture=types_pb2.Picture(data=data))
