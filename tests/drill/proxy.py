"""A TCP link that can be cut: refused, stalled, or reset in the middle of a message."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.ports import free_port

# Closes with a reset instead of an orderly end.
_RESET = struct.pack("ii", 1, 0)


class Link:
    """Passes connections on to a port of this machine that may change; made by ``open``."""

    def __init__(self, port: int, host: str) -> None:
        self.port = port
        self._host = host
        self._target: int | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._halving = False
        self._server: asyncio.Server | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, host: str = "127.0.0.1") -> AsyncIterator[Link]:
        """Listen on a free port, the same for as long as the link lives."""
        link = cls(free_port(host), host)
        await link._listen()
        try:
            yield link
        finally:
            await link._hang_up()

    @property
    def address(self) -> str:
        """Where clients connect to."""
        return f"{self._host}:{self.port}"

    def lead_to(self, port: int | None) -> None:
        """Pass new connections on to this port; None resets them."""
        self._target = port

    async def reset(self) -> None:
        """Pass on half of what comes next, and reset every connection."""
        self._halving = True
        await asyncio.sleep(0.05)
        self._halving = False
        self._reset_all()

    async def stall(self, seconds: float) -> None:
        """Pass nothing on, and close nothing."""
        self._flowing.clear()
        await asyncio.sleep(seconds)
        self._flowing.set()

    async def refuse(self) -> None:
        """Reset every connection, and refuse new ones until ``accept``."""
        await self._hang_up()

    async def accept(self) -> None:
        """Take connections again."""
        await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._pass_on, self._host, self.port)

    async def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._reset_all()
        await asyncio.sleep(0)

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target = await asyncio.open_connection(self._host, self._target or 1)
        except OSError:
            _reset(writer)
            return
        ends = {writer, target[1]}
        self._writers |= ends
        try:
            pumps = [self._pump(reader, target[1]), self._pump(target[0], writer)]
            with suppress(OSError):
                await asyncio.gather(*pumps)
        finally:
            self._writers -= ends
            for end in ends:
                _reset(end)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            await self._flowing.wait()
            if self._halving:
                writer.write(data[: len(data) // 2])
                self._reset_all()
                return
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError("one side has gone")


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
