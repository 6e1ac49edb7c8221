from __future__ import annotations

import socket

import grpc
import pytest

from tests.servicekit.harness import encoding, request
from ugicm_servicekit.channel import connect
from ugicm_servicekit.errors import Unreachable


async def test_a_server_that_is_not_there_is_one_clear_line():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unreachable) as caught:
            async with connect(address):
                pytest.fail("connected to nobody")
    assert str(caught.value) == f"no server at {address}"


async def test_a_port_that_never_answers_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unreachable, match=f"no server answered at {address} within 0.2 s"):
            async with connect(address, timeout_seconds=0.2):
                pytest.fail("nobody speaks gRPC there")


async def test_a_message_beyond_the_channels_limit_is_refused_before_it_is_sent():
    async with (
        encoding() as running,
        connect(f"127.0.0.1:{running.port}", max_message_bytes=1000) as channel,
    ):
        encode = channel.unary_unary("/ugicm.v1.EncoderService/Encode")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await encode(bytes(2000))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "2000 vs. 1000" in caught.value.details()
        assert (await running.stub.Encode(request(b"still here"))).stream == b"still here"
