"""Open channels to the services, as every client of them needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from ugicm_servicekit.errors import Unreachable
from ugicm_servicekit.settings import DEFAULT_MAX_MESSAGE_BYTES

__all__ = ["connect", "open_channel"]


def open_channel(
    address: str, *, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
) -> grpc.aio.Channel:
    """Return a channel to ``host:port`` that connects when first used, and again when lost."""
    return grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            # Finds out within 50 s that the other side is gone, also while a watch is quiet.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # Shared, a channel would wait out the pause after another one's failed attempt.
            ("grpc.use_local_subchannel_pool", 1),
            # A camera's link may come back any moment: try at least every 10 s.
            ("grpc.max_reconnect_backoff_ms", 10_000),
        ],
    )


@asynccontextmanager
async def connect(
    address: str,
    *,
    timeout_seconds: float = 5.0,
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel to ``host:port`` and see that a server is there; closes it at the end.

    Raises:
        Unreachable: nobody listens there, or nobody answers in time.
    """
    async with open_channel(address, max_message_bytes=max_message_bytes) as channel:
        try:
            async with asyncio.timeout(timeout_seconds):
                await _until_ready(channel, address)
        except TimeoutError:
            message = f"no server answered at {address} within {timeout_seconds:g} s"
            raise Unreachable(message) from None
        yield channel


async def _until_ready(channel: grpc.aio.Channel, address: str) -> None:
    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            raise Unreachable(f"no server at {address}")
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)
