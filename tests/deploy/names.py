"""A server of names, as a cluster's: what a name's addresses are can change at any moment."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import dns.message
import dns.rdatatype
import dns.rrset

_TTL_SECONDS = 5


class Names(asyncio.DatagramProtocol):
    """Answers every name with ``addresses``, IPv4."""

    def __init__(self):
        self.addresses = []

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, sender):
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        asked = question.question[0]
        if asked.rdtype == dns.rdatatype.A:
            answer.answer.append(
                dns.rrset.from_text(asked.name, _TTL_SECONDS, "IN", "A", *self.addresses)
            )
        self._transport.sendto(answer.to_wire(), sender)


@asynccontextmanager
async def serving_names():
    """Serve; yields the names, and the address to ask."""
    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(Names, local_addr=("127.0.0.1", 0))
    try:
        host, port = transport.get_extra_info("sockname")
        yield names, f"{host}:{port}"
    finally:
        transport.close()
