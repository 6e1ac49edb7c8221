"""Follow a stream's messages in its order, whatever becomes of its servers."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

__all__ = ["Part", "follow", "in_background", "stored_ns_of"]

_log = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 0.5
# So long without a sign, and the consumer is taken for lost with its server.
_SILENCE_SECONDS = 2.0
_PAUSE_SECONDS = 0.1
_MESSAGES_AT_ONCE = 500
# The status of a server's signs of life, and what a stalled one wants to hear back on.
_CONTROL = "100"
_STALLED = "Nats-Consumer-Stalled"
# In a sign of life: the number of the message sent last.
_SENT = "Nats-Last-Consumer"


class Part(enum.Enum):
    """What of a message a follower gets."""

    HEADERS = "headers"
    ALL = "all"


async def follow(
    client: Client, jetstream: JetStreamContext, stream: str, position: int, part: Part
) -> AsyncGenerator[list[Msg]]:
    """Yield what lies behind ``position``, then what comes; an empty list twice a second.

    Nothing is left out and nothing comes twice: where a message is missing between two, or a server
    falls silent, a new consumer begins behind the last that was yielded.
    """
    while True:
        try:
            async with (
                _subscribed(client, jetstream, stream, position, part) as messages,
                aclosing(_in_order(client, messages)) as batches,
            ):
                async for batch in batches:
                    yield batch
                    if batch:
                        position = batch[-1].metadata.sequence.stream
        except (NatsError, TimeoutError) as error:
            _log.debug("the stream %s is followed anew: %r", stream, error)
        yield []
        await asyncio.sleep(_PAUSE_SECONDS)


@asynccontextmanager
async def in_background(following: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let what follows a stream run beside the block, and end with it."""
    task = asyncio.create_task(following)
    try:
        yield
    finally:
        # Again and again: Python 3.11's wait_for, by which messages come, may swallow one.
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_PAUSE_SECONDS)


def stored_ns_of(message: Msg) -> int:
    """Return when the server stored a message, in nanoseconds since 1970, to the microsecond."""
    return round(message.metadata.timestamp.timestamp() * 1e6) * 1000


@asynccontextmanager
async def _subscribed(
    client: Client, jetstream: JetStreamContext, stream: str, position: int, part: Part
) -> AsyncIterator[Subscription]:
    inbox = client.new_inbox()
    messages = await client.subscribe(inbox, pending_msgs_limit=-1, pending_bytes_limit=-1)
    try:
        await jetstream.add_consumer(
            stream,
            ConsumerConfig(
                deliver_subject=inbox,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=position + 1,
                ack_policy=AckPolicy.NONE,
                headers_only=part is Part.HEADERS,
                flow_control=True,
                idle_heartbeat=_HEARTBEAT_SECONDS,
                mem_storage=True,
                num_replicas=1,
                inactive_threshold=30.0,
            ),
        )
        yield messages
    finally:
        if not client.is_closed:
            await messages.unsubscribe()


async def _in_order(client: Client, messages: Subscription) -> AsyncGenerator[list[Msg]]:
    """Yield what is at hand; end where a message is missing."""
    delivered = 0
    while True:
        batch: list[Msg] = []
        message = await messages.next_msg(_SILENCE_SECONDS)
        while True:
            headers = message.headers or {}
            if headers.get("Status") == _CONTROL:
                reply = message.reply or headers.get(_STALLED)
                if reply:
                    await client.publish(reply)
                # The last messages before a lost connection have no next one that tells of them.
                if int(headers.get(_SENT, delivered)) != delivered:
                    yield batch
                    return
            elif message.metadata.sequence.consumer == delivered + 1:
                batch.append(message)
                delivered += 1
            else:
                yield batch
                return
            if len(batch) == _MESSAGES_AT_ONCE or not messages.pending_msgs:
                break
            message = await messages.next_msg(_SILENCE_SECONDS)
        yield batch
