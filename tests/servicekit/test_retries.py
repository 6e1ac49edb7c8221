"""Calls that gRPC repeats, those that it must not, and connections that end by themselves."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from tests.servicekit.harness import encoding, request
from ugicm.v1 import encoder_pb2
from ugicm_servicekit.channel import RETRIED
from ugicm_servicekit.errors import NotReady, Overloaded
from ugicm_servicekit.roles import GRANTS, STREAMED
from ugicm_servicekit.settings import ServerSettings


def test_calls_of_one_request_are_repeated_and_streams_are_not():
    retried = {f"/{service}/{method}" for service, method in RETRIED}
    assert retried | STREAMED == set(GRANTS)
    assert not retried & STREAMED


class Recovering:
    """Refuses some calls before it answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self, message):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return encoder_pb2.EncodeResponse(stream=message.picture.data)


async def test_a_service_that_comes_back_is_asked_again():
    handle = Recovering(NotReady("starting"), NotReady("starting"))
    async with encoding(handle) as running:
        answer = await running.stub.Encode(request(bytes(2**20)))
    assert (len(answer.stream), handle.calls) == (2**20, 3)


async def test_it_is_asked_four_times_and_then_told():
    handle = Recovering(*[NotReady("starting")] * 9)
    async with encoding(handle) as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.Encode(request())
    assert (caught.value.code(), handle.calls) == (grpc.StatusCode.UNAVAILABLE, 4)


async def test_a_deadline_holds_for_all_tries_together():
    handle = Recovering(*[NotReady("starting")] * 9)
    async with encoding(handle) as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.Encode(request(), timeout=0.01)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert handle.calls < 4


async def test_a_service_with_too_much_to_do_is_not_asked_again_by_itself():
    handle = Recovering(Overloaded("full", retry_after_seconds=0.0))
    async with encoding(handle) as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.Encode(request())
    assert (caught.value.code(), handle.calls) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1)


async def test_a_stream_is_its_clients_business():
    handle = Recovering(NotReady("starting"))
    async with encoding(handle) as running:
        items = iter([encoder_pb2.EncodeStreamRequest(request=request())])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.EncodeStream(items).read()
    assert (caught.value.code(), handle.calls) == (grpc.StatusCode.UNAVAILABLE, 1)


async def _until_connected_anew(channel: grpc.aio.Channel) -> None:
    state = channel.get_state()
    while state is grpc.ChannelConnectivity.READY:
        await channel.wait_for_state_change(state)
        state = channel.get_state()


@pytest.mark.parametrize(
    "settings",
    [
        ServerSettings(connection_idle_seconds=1.0),
        ServerSettings(connection_age_seconds=1.0),
    ],
    ids=["idle", "old"],
)
async def test_a_connection_ends_in_its_time_and_the_next_call_opens_another(settings):
    async with encoding(settings=settings) as running:
        await running.stub.Encode(request())
        async with asyncio.timeout(30):
            await _until_connected_anew(running.channel)
        assert (await running.stub.Encode(request(b"again"))).stream == b"again"


async def test_a_call_on_an_old_connection_ends_within_the_grace():
    settings = ServerSettings(connection_age_seconds=1.0, connection_grace_seconds=0.5)
    async with encoding(settings=settings) as running:
        call = running.stub.EncodeStream()
        async with asyncio.timeout(30):
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert (await running.stub.Encode(request(b"again"))).stream == b"again"
