"""What a service stands on is told as it is known: at first not at all."""

from __future__ import annotations

import asyncio

import grpc

from tests.ports import free_port
from ugicm_servicekit.channel import open_channel
from ugicm_servicekit.checks import reached
from ugicm_servicekit.readiness import Readiness, Severity, State


async def changed_to(readiness, state, words):
    async with asyncio.timeout(30):
        while readiness.state is not state or words not in "".join(readiness.problems):
            await readiness.changed()


async def test_a_service_that_is_there_is_reached_at_once_and_was_never_missed(caplog):
    server, readiness = grpc.aio.server(), Readiness()
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with (
            open_channel(address) as channel,
            reached(readiness, "decoder", channel, address, without=Severity.BLOCKS),
        ):
            assert readiness.state is State.NOT_READY
            assert readiness.problems == [f"the decoder at {address} was not reached yet"]
            await changed_to(readiness, State.READY, "")
        # That it got well would say that something had been wrong.
        assert [record for record in caplog.records if "checks" in record.name] == []
    finally:
        await server.stop(None)


async def test_a_service_that_is_not_there_is_told_until_it_is(caplog):
    address, readiness = f"127.0.0.1:{free_port()}", Readiness()
    async with (
        open_channel(address) as channel,
        reached(readiness, "decoder", channel, address, without=Severity.DEGRADES),
    ):
        await changed_to(readiness, State.DEGRADED, "cannot be reached")
        server = grpc.aio.server()
        server.add_insecure_port(address)
        await server.start()
        try:
            await changed_to(readiness, State.READY, "")
        finally:
            await server.stop(None)
    assert "decoder: all is well again" in caplog.text
