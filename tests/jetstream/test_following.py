"""A stream's messages in their order, also where the connection loses some."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from nats.aio.client import Client

from tests.jetstream.servers import needs_nats
from ugicm_servicekit.following import Part, follow

pytestmark = needs_nats


class Lossy(Client):
    """A connection that loses a message the first time that it comes."""

    async def connect_and_lose(self, servers, lost):
        self.lost = lost
        await self.connect(list(servers.addresses), reconnect_time_wait=0.1)

    async def _process_msg(self, sid, subject, reply, data, headers):
        if data == self.lost:
            self.lost = None
        else:
            await super()._process_msg(sid, subject, reply, data, headers)


async def test_the_newest_message_comes_also_where_it_is_lost_on_its_way(nats):
    client = Lossy()
    await client.connect_and_lose(nats, b"2")
    jetstream = client.jetstream()
    await jetstream.add_stream(name="lossy", subjects=["lossy"])
    seen = []
    async with (
        asyncio.timeout(30),
        aclosing(follow(client, jetstream, "lossy", 0, Part.ALL)) as batches,
    ):
        for data in (b"0", b"1", b"2"):
            await jetstream.publish("lossy", data)
        async for batch in batches:
            seen += [message.data for message in batch]
            if len(seen) == 3:
                break
    assert seen == [b"0", b"1", b"2"]
    assert client.lost is None
    await client.close()
