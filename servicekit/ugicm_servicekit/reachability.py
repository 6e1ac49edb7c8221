"""See whether the service behind this one can be reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from ugicm_servicekit.readiness import Problem, Readiness, Severity

__all__ = ["watching_upstream"]

_SECONDS_BETWEEN_LOOKS = 1.0


@asynccontextmanager
async def watching_upstream(
    channel: grpc.aio.Channel,
    address: str,
    readiness: Readiness,
    *,
    severity: Severity,
    name: str = "decoder",
) -> AsyncIterator[None]:
    """Keep a connection, and report to ``readiness`` while there is none.

    Args:
        channel: to the other service.
        address: of it, for people.
        readiness: is told.
        severity: what it means to be without.
        name: of the other service.
    """
    problem = Problem(severity, f"the {name} at {address} cannot be reached")

    async def look() -> None:
        while True:
            state = channel.get_state(try_to_connect=True)
            if state is grpc.ChannelConnectivity.READY:
                readiness.report(name, None)
            elif state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                readiness.report(name, problem)
            # Between them nothing is known yet, and what was known stays.
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)

    readiness.report(name, problem)
    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])
        readiness.report(name, None)
