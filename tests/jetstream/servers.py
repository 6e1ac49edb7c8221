"""Real NATS servers with JetStream, each at an address of its own on this machine."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nats
import pytest
from nats.errors import Error as NatsError

from tests.deploy.replicas import address
from ugicm_servicekit.jetstream import NatsSettings

# The system's package puts it where not everybody looks.
PROGRAM = shutil.which("nats-server") or shutil.which("/usr/sbin/nats-server")


def why_not() -> str:
    """Return why no server can be started here; nothing where one can."""
    if sys.platform != "linux":
        return "only Linux has all of 127.0.0.0/8 on its loopback interface"
    if shutil.which("setpriv") is None:
        return "needs setpriv, of util-linux"
    return "" if PROGRAM else "needs nats-server, of the system's package of that name"


needs_nats = pytest.mark.skipif(bool(why_not()), reason=why_not())

PORT = 4222
CLUSTER_PORT = 6222

CONFIG = """
server_name: n{number}
host: {host}
port: {port}
max_payload: 1MB
jetstream {{ store_dir: "{folder}", max_mem: 64MB, max_file: {max_file} }}
"""
CLUSTER = """
cluster {{ name: test, host: {host}, port: {port}, routes: [{routes}] }}
"""


class Servers:
    """Servers by number, started and killed one by one.

    Args:
        folder: for their files.
        numbers: of addresses; more than one form a cluster.
        extra: what else their configuration says.
        max_file: what streams may take of each one's disk.
    """

    def __init__(
        self, folder: Path, numbers: tuple[int, ...], extra: str = "", max_file: str = "1GB"
    ) -> None:
        self._folder = folder
        self._numbers = numbers
        self._extra = extra
        self._max_file = max_file
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(f"nats://{address(number)}:{PORT}" for number in self._numbers)

    def start(self, number: int) -> None:
        file = self._configure(number)
        assert PROGRAM is not None
        log = self._folder / f"n{number}.log"
        # It ends with the tests, also where those are killed.
        tied = ("setpriv", "--pdeathsig", "KILL", "--")
        self._processes[number] = subprocess.Popen(
            [*tied, PROGRAM, "--config", str(file), "--log", str(log)]
        )

    def _configure(self, number: int) -> Path:
        host = address(number)
        folder = self._folder / f"n{number}"
        config = self._extra + CONFIG.format(
            number=number, host=host, port=PORT, folder=folder, max_file=self._max_file
        )
        if len(self._numbers) > 1:
            routes = ", ".join(f"nats://{address(one)}:{CLUSTER_PORT}" for one in self._numbers)
            config += CLUSTER.format(host=host, port=CLUSTER_PORT, routes=routes)
        file = self._folder / f"n{number}.conf"
        file.write_text(config)
        return file

    def kill(self, number: int) -> None:
        process = self._processes.pop(number)
        process.kill()
        process.wait()

    def reconfigure(self, number: int, extra: str) -> None:
        """Change the extra part of a server's configuration; while it runs, let it read it."""
        self._extra = extra
        self._configure(number)
        if number in self._processes:
            self._processes[number].send_signal(signal.SIGHUP)

    def stop(self) -> None:
        for number in list(self._processes):
            self.kill(number)


async def num_messages(settings: NatsSettings, stream: str | None = None) -> int:
    """Return how many messages a stream has; that of the frames, where none is named."""
    client = await nats.connect(list(settings.nats))
    try:
        found = await client.jetstream().stream_info(stream or settings.nats_stream)
        return found.state.messages
    finally:
        await client.close()


async def ready(servers: Servers) -> None:
    """Return once JetStream answers, that is, once a cluster has chosen its leader."""
    async with asyncio.timeout(60):
        while True:
            with suppress(NatsError, OSError, TimeoutError):
                client = await nats.connect(
                    list(servers.addresses),
                    error_cb=_ignored,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0.02,
                )
                try:
                    await client.jetstream(timeout=1).account_info()
                    return
                finally:
                    await client.close()
            await asyncio.sleep(0.05)


@contextmanager
def nats_servers(folder: Path, *numbers: int, **options: str) -> Iterator[Servers]:
    """Start servers; yields them, and kills them at the end."""
    servers = Servers(folder, numbers, **options)
    try:
        for number in numbers:
            servers.start(number)
        yield servers
    finally:
        servers.stop()


async def _ignored(error: Exception) -> None:
    """They are starting."""
