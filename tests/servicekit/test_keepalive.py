"""Peers that vanish without a word: their calls end, and their work is dropped."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from tests.drill.proxy import Link
from tests.servicekit.harness import encoding, request
from ugicm.v1 import encoder_pb2
from ugicm.v1.encoder_pb2_grpc import EncoderServiceStub
from ugicm_servicekit.channel import connect
from ugicm_servicekit.settings import ServerSettings
from ugicm_servicekit.work import Workers

SHORT = ServerSettings(keepalive_seconds=0.2, keepalive_timeout_seconds=0.2)


@asynccontextmanager
async def stalled(link):
    """Let the link pass nothing on, nor close anything."""
    stall = asyncio.create_task(link.stall(3600))
    try:
        yield
    finally:
        stall.cancel()
        await asyncio.wait([stall])


class Held:
    """Handles calls by waiting until each is dropped."""

    def __init__(self):
        self.begun = asyncio.Event()
        self.dropped = asyncio.Event()

    async def __call__(self, request):
        self.begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.dropped.set()
            raise


async def test_the_calls_of_a_client_behind_a_dead_link_are_dropped():
    held = Held()
    async with Link.open() as link, encoding(held, SHORT) as running:
        link.lead_to(running.port)
        async with connect(link.address) as channel:
            call = EncoderServiceStub(channel).Encode(request())
            await held.begun.wait()
            async with stalled(link), asyncio.timeout(30):
                # The client is there, and nothing tells the server but silence.
                await held.dropped.wait()
            call.cancel()


async def test_work_that_waits_for_a_client_behind_a_dead_link_is_never_begun():
    workers, go_on, begun = Workers(threads=1, max_queued=9, name="held"), asyncio.Event(), []
    loop = asyncio.get_running_loop()

    async def work(asked):
        data = asked.picture.data
        await workers.run(
            lambda: (
                begun.append(data),
                asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(60),
            )
        )
        return encoder_pb2.EncodeResponse(stream=data)

    async with Link.open() as link, encoding(work, SHORT) as running:
        link.lead_to(running.port)
        first = running.stub.Encode(request(b"near"))
        async with connect(link.address) as channel:
            far = EncoderServiceStub(channel).Encode(request(b"far"))
            async with asyncio.timeout(30):
                while not workers.queue_length:  # noqa: ASYNC110 - nobody announces it
                    await asyncio.sleep(0.01)
                async with stalled(link):
                    while workers.queue_length:  # noqa: ASYNC110 - nobody announces it
                        await asyncio.sleep(0.01)
                    go_on.set()
                    assert (await first).stream == b"near"
                    await running.stub.Encode(request(b"later"))
            far.cancel()
    await asyncio.to_thread(workers.close)
    assert begun == [b"near", b"later"]


async def test_a_client_that_answers_pings_keeps_its_silent_call():
    held = Held()
    async with encoding(held, SHORT) as running:
        call = running.stub.Encode(request(), timeout=1.5)  # several times both settings
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
