"""Look again and again whether what a service stands on still holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import grpc

from ugicm_servicekit.readiness import Problem, Readiness, Severity

__all__ = ["checked", "reached"]

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 1.0
_OUTCOMES = (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE)


@asynccontextmanager
async def checked(
    readiness: Readiness, name: str, look: Callable[[], Awaitable[Problem | None]]
) -> AsyncIterator[None]:
    """Report what ``look`` finds, at once and then every second."""
    ending = asyncio.Event()

    async def look_on() -> None:
        last = await look()
        readiness.report(name, last)
        while not ending.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_SECONDS_BETWEEN_LOOKS):
                    await ending.wait()
            found = await look()
            readiness.report(name, found)
            if found != last:
                _log.warning("%s: %s", name, found.text if found else "all is well again")
            last = found

    looking = asyncio.create_task(look_on())
    try:
        yield
    finally:
        ending.set()
        looking.cancel()
        await asyncio.wait([looking])
        readiness.report(name, None)


@asynccontextmanager
async def reached(
    readiness: Readiness,
    name: str,
    channel: grpc.aio.Channel,
    address: str,
    *,
    without: Severity,
) -> AsyncIterator[None]:
    """Keep a connection to another service, and report while there is none.

    Args:
        readiness: is told.
        name: of the other service.
        channel: to it.
        address: of it, for people.
        without: what it means that there is none.
    """
    problem = Problem(without, f"the {name} at {address} cannot be reached")
    unknown = Problem(without, f"the {name} at {address} was not reached yet")
    readiness.report(name, unknown)
    found: Problem | None = unknown

    async def look() -> Problem | None:
        nonlocal found
        if found is unknown:
            await _tried(channel)
        state = channel.get_state(try_to_connect=True)
        if state is grpc.ChannelConnectivity.READY:
            found = None
        elif state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            found = problem
        return found  # in between nothing new is known

    async with checked(readiness, name, look):
        yield


async def _tried(channel: grpc.aio.Channel) -> None:
    """Return once the channel's first attempt to connect has ended, whichever way."""
    while (state := channel.get_state(try_to_connect=True)) not in _OUTCOMES:
        # Asked anew each second, because a channel that renews its certificates is another one.
        with suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS_BETWEEN_LOOKS):
                await channel.wait_for_state_change(state)
